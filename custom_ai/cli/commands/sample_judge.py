"""`samples judge`: another model scores the samples; a low score keeps one back."""

import argparse
import sys

from custom_ai.cli import foreground
from custom_ai.cli.arguments import Parsers, add_options, add_project, command, given
from custom_ai.cli.commands import sample_prompts
from custom_ai.cli.commands.providers import estimate_lines
from custom_ai.cli.consent import ask_consent
from custom_ai.cli.outcome import Outcome
from custom_ai.datasets.judge_estimate import estimate_judging
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.datasets.judge_preview import preview_judging
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.providers import provider as providers
from custom_ai.runs import requests
from custom_ai.texts import t


def register(samples: Parsers) -> None:
    """Add the command to the group `samples`."""
    judge = command(samples, "samples judge", _judge)
    add_project(judge)
    judge.add_argument(
        "--provider", choices=providers.names(), required=True, help=t("cli.judge_provider")
    )
    looks = judge.add_mutually_exclusive_group()
    looks.add_argument("--estimate", action="store_true", help=t("cli.judge_estimate"))
    looks.add_argument("--preview", action="store_true", help=t("cli.judge_preview"))
    judge.add_argument("--yes", action="store_true", help=t("cli.consent"))
    add_options(judge, JudgeOptions)


def _judge(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    options = requests.judging(args.provider, given(args, JudgeOptions))
    if args.estimate:
        return _estimate(project, args)
    if args.preview:
        wished = JudgeOptions.parse(given(args, JudgeOptions))
        return sample_prompts.shown(preview_judging(project, args.provider, wished))
    ask_consent(project, options, args)
    if not providers.find(args.provider).local:
        print(_estimate(project, args).text, file=sys.stderr)
    run, stopped = foreground.do(project, "judge", options)
    if stopped:
        return stopped
    result = run.result() or {}
    lines = [t("cli.judged", **result)]
    if result["without_passage"]:
        lines.append(t("cli.judged_without_passage", count=result["without_passage"]))
    return Outcome(result, "\n".join([*lines, t("cli.judged_threshold")]))


def _estimate(project: Project, args: argparse.Namespace) -> Outcome:
    wished = JudgeOptions.parse(given(args, JudgeOptions))
    found = estimate_judging(project, args.provider, wished)
    return Outcome(found.as_json(), "\n".join(estimate_lines(found, "cli.judge_estimate_requests")))
