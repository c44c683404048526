"""`evaluate`: the exam of base and tuned model."""

import argparse
from typing import Any

from custom_ai.cli import foreground
from custom_ai.cli.arguments import Parsers, add_options, add_project, command, given
from custom_ai.cli.outcome import Outcome, table
from custom_ai.evaluation.exam import ExamOptions
from custom_ai.projects import project as projects
from custom_ai.runs import requests
from custom_ai.texts import t


def register(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(parsers, "evaluate", _evaluate)
    add_project(parser)
    parser.add_argument("--run", type=int, metavar="RUN", help=t("cli.export_run"))
    add_options(parser, ExamOptions)


def _evaluate(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    options = requests.evaluation(project, given(args, ExamOptions), args.run)
    run, stopped = foreground.do(project, "evaluate", options)
    if stopped:
        return stopped
    result = run.result() or {}
    return Outcome(result, as_text(result))


def as_text(result: dict[str, Any]) -> str:
    """The scores as a table for people."""
    header = [t(f"evaluation.column_{c}") for c in ("part", "model", "n", "exact", "f1")]
    rows = [
        (
            t(f"evaluation.report_{part}"),
            t(f"evaluation.{name}"),
            s["n"],
            f"{s['exact']:.0%}",
            f"{s['f1']:.2f} ({s['low']:.2f}–{s['high']:.2f})",
        )
        for part in ("scores", "trained")
        for name, s in result[part].items()
    ]
    return f"{table(rows, header)}\n\n{t('evaluation.report_at', path=result['report'])}"
