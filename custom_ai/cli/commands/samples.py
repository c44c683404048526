"""`samples generate | list`, and the commands of the review; the checks are in cli/truth.py."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, get_args

from custom_ai.cli import foreground, truth
from custom_ai.cli.arguments import Parsers, add_options, add_project, command, given, group
from custom_ai.cli.commands import sample_files, sample_judge, sample_prompts
from custom_ai.cli.commands.providers import estimate_lines
from custom_ai.cli.consent import ask_consent
from custom_ai.cli.outcome import Outcome, table
from custom_ai.datasets.collection import Judged
from custom_ai.datasets.estimate import estimate
from custom_ai.datasets.generate import GenerateOptions
from custom_ai.datasets.plan import SPLITS
from custom_ai.datasets.review import OPINIONS, Filter, Review
from custom_ai.datasets.sample import Status
from custom_ai.projects import project as projects
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
    generate.add_argument("--yes", action="store_true", help=t("cli.consent"))
    add_options(generate, GenerateOptions)
    beforehand = command(samples, "samples estimate", _estimate)
    add_project(beforehand)
    beforehand.add_argument(
        "--provider", choices=providers.names(), default=_DEFAULT_PROVIDER, help=t("cli.provider")
    )
    add_options(beforehand, GenerateOptions)
    show = command(samples, "samples list", _list)
    add_project(show)
    show.add_argument("--status", choices=_STATUSES, help=t("cli.list_status"))
    show.add_argument("--split", choices=SPLITS, help=t("cli.list_split"))
    show.add_argument("--document", default="", metavar="FILE", help=t("cli.list_document"))
    show.add_argument("--dataset", default="", metavar="NAME", help=t("cli.list_dataset"))
    show.add_argument("--reason", default="", metavar="CHECK", help=t("cli.list_reason"))
    show.add_argument("--judged", choices=OPINIONS, default="", help=t("cli.list_judged"))
    show.add_argument("--search", default="", metavar="TEXT", help=t("cli.list_search"))
    show.add_argument("--reviewed", action="store_true", help=t("cli.list_reviewed"))
    show.add_argument("--limit", type=int, default=_SHOWN, help=t("cli.list_limit"))
    truth.register(samples)
    sample_judge.register(samples)
    _register_review(samples)
    sample_files.register(samples)
    sample_prompts.register(samples)


def _register_review(samples: Parsers) -> None:
    edit = command(samples, "samples edit", _edit)
    add_project(edit)
    edit.add_argument("id", metavar="ID", help=t("cli.sample_id"))
    edit.add_argument("--instruction", metavar="TEXT", help=t("cli.sample_instruction"))
    edit.add_argument("--output", metavar="TEXT", help=t("cli.sample_output"))
    for name, call in (("accept", _accept), ("reject", _reject), ("restore", _restore)):
        decide = command(samples, f"samples {name}", call)
        add_project(decide)
        decide.add_argument("ids", nargs="+", metavar="ID", help=t("cli.sample_ids"))
    history = command(samples, "samples history", _history)
    add_project(history)
    history.add_argument("id", metavar="ID", help=t("cli.sample_id"))


def _generate(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    options = requests.samples(args.provider, given(args, GenerateOptions))
    ask_consent(project, options, args)
    if not providers.find(args.provider).local:
        # What it will cost, and what is left of a free account's requests, before anything starts.
        wished = GenerateOptions.parse(given(args, GenerateOptions))
        print("\n".join(estimate_lines(estimate(project, args.provider, wished))), file=sys.stderr)
    run, stopped = foreground.do(project, "samples", options)
    if stopped:
        return stopped
    result = run.result() or {}
    text = t("cli.generated", **result)
    if args.provider == _DEFAULT_PROVIDER:
        text += f"\n{t('cli.stand_in')}"
    return Outcome(result, text)


def _estimate(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    wished = GenerateOptions.parse(given(args, GenerateOptions))
    found = estimate(project, args.provider, wished)
    return Outcome(found.as_json(), "\n".join(estimate_lines(found)))


def _list(args: argparse.Namespace) -> Outcome:
    review = Review(projects.find(args.project))
    wanted = Filter(
        status=args.status,
        split=args.split,
        document=args.document,
        dataset=args.dataset,
        reason=args.reason,
        judged=args.judged,
        text=args.search,
        reviewed=args.reviewed,
    )
    everything = review.page().total
    found = review.page(wanted, limit=everything).items
    lines = [_in_words(judged) for judged in found[: args.limit]]
    nothing = t("cli.no_hits") if everything else t("cli.no_samples")
    return Outcome([_as_json(judged) for judged in found], "\n".join(lines) or nothing)


def _edit(args: argparse.Namespace) -> Outcome:
    review = Review(projects.find(args.project))
    now = review.get(args.id).sample
    judged = review.edit(
        args.id,
        now.instruction if args.instruction is None else args.instruction,
        now.output if args.output is None else args.output,
    )
    review.save()
    return Outcome(_as_json(judged), f"{_in_words(judged)}\n{_verdict(judged)}")


def _accept(args: argparse.Namespace) -> Outcome:
    return _decide(args, "accepted")


def _reject(args: argparse.Namespace) -> Outcome:
    return _decide(args, "rejected")


def _decide(args: argparse.Namespace, status: Status) -> Outcome:
    review = Review(projects.find(args.project))
    return _decided(review, review.decide(args.ids, status))


def _restore(args: argparse.Namespace) -> Outcome:
    review = Review(projects.find(args.project))
    # All of them or, with an unknown one among them, none.
    for id_ in args.ids:
        review.get(id_)
    return _decided(review, [review.restore(id_) for id_ in args.ids])


def _decided(review: Review, judged: Sequence[Judged]) -> Outcome:
    review.save()
    rows = [(each.sample.id, _verdict(each), each.sample.instruction) for each in judged]
    return Outcome([_as_json(each) for each in judged], table(rows))


def _history(args: argparse.Namespace) -> Outcome:
    versions = Review(projects.find(args.project)).history(args.id)
    data = [
        {"version": number, "time": version.time, "note": version.note, **_as_json(version.judged)}
        for number, version in enumerate(versions)
    ]
    lines = []
    for number, version in enumerate(versions):
        head = [str(number), version.time or t("cli.as_it_came"), _verdict(version.judged)]
        lines += ["  ".join([*head, version.note]).rstrip(), _in_words(version.judged)]
    return Outcome(data, "\n".join(lines))


def _as_json(judged: Judged) -> dict[str, Any]:
    opinion = judged.opinion.as_json() if judged.opinion else None
    return {"status": judged.status, **judged.sample.as_json(), "judge": opinion}


def _in_words(judged: Judged) -> str:
    """Question, answer, and where they come from."""
    sample = judged.sample
    place = sample.filename
    if sample.file_line is not None:
        place += f", {t('cli.line', line=sample.file_line)}"
    if sample.page is not None:
        place += f", {t('cli.page', page=sample.page)}"
    return f"? {sample.instruction}\n  {sample.output}\n  [{place}] {sample.id}"


def _verdict(judged: Judged) -> str:
    """What becomes of a sample, and why."""
    status = t(f"cli.status_{judged.status}")
    reasons = truth.reasons(judged)
    return f"{status} ({reasons})" if reasons else status
