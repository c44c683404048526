"""`samples generate | list | check | import | export`."""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any, get_args

from custom_ai.cli import foreground
from custom_ai.cli.arguments import Parsers, add_options, add_project, command, given, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.datasets.collection import collect, write_samples
from custom_ai.datasets.formats import FORMATS, export_samples, import_samples
from custom_ai.datasets.generate import GenerateOptions
from custom_ai.datasets.sample import Status
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from custom_ai.providers import provider as providers
from custom_ai.runs import requests
from custom_ai.texts import t

_DEFAULT_PROVIDER = "extractive"
_STATUSES: tuple[Status, ...] = get_args(Status)
_SHOWN = 20


def register(parsers: Parsers) -> None:
    """Add the commands."""
    samples = group(parsers, "samples")
    generate = command(samples, "samples generate", _generate)
    add_project(generate)
    generate.add_argument(
        "--provider", choices=providers.names(), default=_DEFAULT_PROVIDER, help=t("cli.provider")
    )
    add_options(generate, GenerateOptions)
    show = command(samples, "samples list", _list)
    add_project(show)
    show.add_argument("--status", choices=_STATUSES, help=t("cli.list_status"))
    show.add_argument("--limit", type=int, default=_SHOWN, help=t("cli.list_limit"))
    add_project(command(samples, "samples check", _check))
    take = command(samples, "samples import", _import)
    add_project(take)
    take.add_argument("file", type=Path, metavar="FILE", help=t("cli.sample_file"))
    out = command(samples, "samples export", _export)
    add_project(out)
    out.add_argument("file", type=Path, metavar="FILE", help=t("cli.sample_target"))
    out.add_argument("--format", choices=FORMATS, default="jsonl", help=t("cli.sample_format"))


def _generate(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    options = requests.samples(args.provider, given(args, GenerateOptions))
    run, stopped = foreground.do(project, "samples", options)
    if stopped:
        return stopped
    result = run.result() or {}
    text = t("cli.generated", **result)
    if args.provider == _DEFAULT_PROVIDER:
        text += f"\n{t('cli.stand_in')}"
    return Outcome(result, text)


def _list(args: argparse.Namespace) -> Outcome:
    found = [
        {"status": judged.status, **judged.sample.model_dump(mode="json")}
        for judged in collect(projects.find(args.project)).samples
        if args.status in (None, judged.status)
    ]
    lines = []
    for sample in found[: args.limit]:
        place = sample["filename"]
        if sample["page"] is not None:
            place += f", {t('cli.page', page=sample['page'])}"
        lines += [f"? {sample['instruction']}", f"  {sample['output']}", f"  [{place}]"]
    return Outcome(found, "\n".join(lines) or t("cli.no_samples"))


def _check(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    with writing(project, "samples check"):
        collection = collect(project)
        write_samples(project, collection)
    counts = Counter(judged.status for judged in collection.samples)
    failed = [
        (judged.status, judged.sample.instruction, _reasons(judged.sample.checks))
        for judged in collection.samples
        if judged.status != "accepted"
    ]
    data: dict[str, Any] = {status: counts[status] for status in _STATUSES}
    text = "\n".join([t("cli.checked", **data), table(failed[:_SHOWN])]).strip()
    return Outcome(data, text)


def _import(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    with writing(project, "samples import"):
        imported = import_samples(project, args.file.expanduser().absolute())
    return Outcome(vars(imported), t("cli.imported", **vars(imported)))


def _export(args: argparse.Namespace) -> Outcome:
    path = args.file.expanduser().absolute()
    count = export_samples(projects.find(args.project), path, args.format)
    return Outcome(
        {"path": str(path), "count": count}, t("cli.exported_samples", path=path, count=count)
    )


def _reasons(checks: dict[str, str]) -> str:
    return ", ".join(f"{name}: {found}" for name, found in checks.items() if found != "ok")
