"""Before passages of documents leave this machine, people are asked on the command line."""

import argparse
import sys
from typing import Any

from custom_ai.datasets import privacy
from custom_ai.projects.project import Project
from custom_ai.texts import t

_YES = ("y", "yes", "j", "ja")


def ask_consent(project: Project, options: dict[str, Any], args: argparse.Namespace) -> None:
    """Before passages leave this machine, people are told where to; they say yes once."""
    host = privacy.destination(args.provider, options["base_url"])
    if not host or privacy.consented(project, host):
        return
    if not args.yes and sys.stdin.isatty() and not args.json:
        print(t("cli.consent_question", host=host, provider=args.provider), end="", file=sys.stderr)
        args.yes = sys.stdin.readline().strip().casefold() in _YES
    if args.yes:
        privacy.agree(project, host, args.provider)
    # Without their word this says what to do.
    privacy.require(project, options)
