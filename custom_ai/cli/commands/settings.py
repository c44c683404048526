"""`settings show | set`."""

import argparse

from custom_ai import settings
from custom_ai.cli.arguments import Parsers, command, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.texts import t


def register(parsers: Parsers) -> None:
    """Add the commands."""
    group_ = group(parsers, "settings")
    command(group_, "settings show", _show)
    change = command(group_, "settings set", _set)
    change.add_argument("key", metavar="KEY", help=t("cli.key"))
    change.add_argument("value", metavar="VALUE", help=t("cli.value"))


def _show(args: argparse.Namespace) -> Outcome:
    values = settings.load().model_dump()
    rows = [(name, value, settings.Settings.help(name)) for name, value in values.items()]
    return Outcome({**values, "home": str(settings.home())}, table(rows))


def _set(args: argparse.Namespace) -> Outcome:
    values = settings.change(args.key, args.value).model_dump()
    return Outcome(values, t("settings.saved", key=args.key, value=args.value))
