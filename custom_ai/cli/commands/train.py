"""`train`: teach the base model the samples."""

import argparse

from custom_ai.cli import foreground
from custom_ai.cli.arguments import Parsers, add_options, add_project, command, given
from custom_ai.cli.outcome import Outcome
from custom_ai.projects import project as projects
from custom_ai.runs import requests
from custom_ai.texts import t
from custom_ai.training.config import TrainingOptions


def register(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(parsers, "train", _train)
    add_project(parser)
    add_options(parser, TrainingOptions)
    parser.add_argument("--detach", action="store_true", help=t("cli.detach"))


def _train(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    options = requests.training(project, given(args, TrainingOptions))
    run, stopped = foreground.do(project, "train", options, detach=args.detach)
    if stopped:
        return stopped
    result = run.result() or {}
    data = {"run": run.number, "state": run.state, **result}
    return Outcome(data, t("cli.trained", run=run.number, project=project.slug, **_shown(result)))


def _shown(result: dict[str, object]) -> dict[str, str]:
    return {
        name: f"{value:.4f}" if isinstance(value, float) else "–" if value is None else str(value)
        for name, value in result.items()
    }
