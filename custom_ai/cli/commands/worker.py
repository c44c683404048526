"""`worker FOLDER`: the process of one run. Started by the runner, not by people."""

import argparse

from custom_ai.cli.arguments import Parsers
from custom_ai.cli.outcome import Outcome
from custom_ai.runs import worker


def register(parsers: Parsers) -> None:
    """Add the command, without a line in the help."""
    parser = parsers.add_parser("worker")
    parser.add_argument("folder")
    parser.set_defaults(command=_work)


def _work(args: argparse.Namespace) -> Outcome:
    return Outcome(None, code=worker.main(args.folder))
