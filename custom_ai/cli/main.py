"""Entry point: builds the parser, calls the command, prints its outcome or what went wrong."""

import argparse
import json
import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from custom_ai import __version__, settings
from custom_ai.cli import welcome
from custom_ai.cli.commands import COMMANDS, load
from custom_ai.cli.outcome import Outcome
from custom_ai.errors import UserError, from_exception
from custom_ai.settings import home
from custom_ai.texts import t, use_language


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0, 1 (UserError), 2 (wrong usage), 3 (stopped)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wants_json = "--json" in arguments
    _use_utf8()
    try:
        chosen = settings.load().language
        use_language(None if chosen == "auto" else chosen)
        args = build_parser(*arguments[:1]).parse_args(arguments or ["ui"])
        outcome: Outcome = args.command(args)
    except KeyboardInterrupt:
        print(t("cli.stopped"), file=sys.stderr)
        return 3
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        return 1
    except Exception as error:
        return _show_error(_explain(error), wants_json)
    if outcome.error:
        return _show_error(outcome.error, wants_json, outcome.data)
    if wants_json and outcome.data is not None:
        print(json.dumps(outcome.data, ensure_ascii=False))
    elif outcome.text and not wants_json:
        print(outcome.text)
    return outcome.code


def build_parser(wanted: str = "ui") -> argparse.ArgumentParser:
    """The command line, help in the user's language: with one command, or all if it is none."""
    parser = argparse.ArgumentParser(
        prog="custom-ai",
        description=t("cli.description"),
        epilog=welcome.first_steps(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"custom-ai {__version__}")
    commands = parser.add_subparsers(
        title=t("cli.commands"), metavar=t("cli.command"), required=True
    )
    for name in [wanted] if wanted in COMMANDS else COMMANDS:
        load(name).register(commands)
    return parser


def _show_error(error: UserError, wants_json: bool, data: Any = None) -> int:
    print(f"{t('cli.error')}: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  → {error.hint}", file=sys.stderr)
    if wants_json:
        print(json.dumps({**(data or {}), "error": error.as_json()}, ensure_ascii=False))
    return 1


def _explain(error: Exception) -> UserError:
    """The failure in words; what nobody can act on goes with its traceback into a log."""
    if found := from_exception(error):
        return found
    log = home() / "logs" / "command-line.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a", encoding="utf-8") as stream:
            traceback.print_exception(error, file=stream)
    except OSError:
        logging.getLogger(__name__).exception("cannot write %s", log, exc_info=error)
    return UserError("errors.unexpected", reason=f"{type(error).__name__}: {error}", log=log)


def _use_utf8() -> None:
    """A German answer must not break on a Windows console of another code page."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
