"""`train`: teach the base model the samples."""

import argparse

from custom_ai.cli import foreground
from custom_ai.cli.arguments import Parsers, add_options, add_project, command, given
from custom_ai.cli.outcome import Outcome
from custom_ai.cli.progress import Progress
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import requests, training_check
from custom_ai.runs.standing import duration
from custom_ai.texts import t
from custom_ai.training.config import TrainingOptions
from custom_ai.training.measure import Measured
from custom_ai.training.plan_b import in_words
from custom_ai.training.presets import PRESETS


def register(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(parsers, "train", _train)
    add_project(parser)
    add_options(parser, TrainingOptions)
    parser.add_argument("--preset", choices=PRESETS, default="balanced", help=t("cli.preset"))
    parser.add_argument("--check", action="store_true", help=t("cli.check"))
    parser.add_argument("--detach", action="store_true", help=t("cli.detach"))


def _train(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    options = requests.training(project, given(args, TrainingOptions), args.preset)
    if args.check:
        return _check(project, TrainingOptions.parse(options))
    run, stopped = foreground.do(project, "train", options, detach=args.detach)
    if stopped:
        return stopped
    result = run.result() or {}
    data = {"run": run.number, "state": run.state, **result}
    return Outcome(data, t("cli.trained", run=run.number, project=project.slug, **_shown(result)))


def _check(project: Project, options: TrainingOptions) -> Outcome:
    Progress().say(t("cli.checking"))
    found = training_check.check(project, options)
    signs = {"ok": "✓", "warning": "!", "bad": "✗"}
    lines = []
    for finding in found.findings:
        lines.append(f"{signs[finding.level]} {finding.text} {finding.hint}".rstrip())
    if measured := found.measured:
        lines += _time(measured)
        lines += ["", t("cli.check_preview"), _marked(measured.preview)]
    if found.offers:
        lines += ["", t("cli.check_offers"), *(f"  {in_words(offer)}" for offer in found.offers)]
    return Outcome(found.as_json(), "\n".join(lines), code=0 if found.ok else 1)


def _time(measured: Measured) -> list[str]:
    if measured.least is None or measured.most is None or measured.step_seconds is None:
        return []
    values = {"least": duration(measured.least), "most": duration(measured.most)}
    step = f"{measured.step_seconds:.1f}"
    return ["  " + t("cli.check_time", steps=measured.steps, step=step, **values)]


def _marked(preview: list[tuple[str, bool]]) -> str:
    return "".join(f"[[{text}]]" if learnt else text for text, learnt in preview)


def _shown(result: dict[str, object]) -> dict[str, str]:
    return {
        name: f"{value:.4f}" if isinstance(value, float) else "–" if value is None else str(value)
        for name, value in result.items()
    }
