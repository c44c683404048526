"""`settings show | set`: this installation's settings, and the keys of providers."""

import argparse
import getpass
import sys

from custom_ai import secrets, settings
from custom_ai.cli.arguments import Parsers, command, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.errors import UserError
from custom_ai.providers import provider as providers
from custom_ai.texts import t
from custom_ai.training import defaults

_KEY = "_api_key"

# The options of a training: training.learning_rate.
_TRAINING = "training."


def register(parsers: Parsers) -> None:
    """Add the commands."""
    group_ = group(parsers, "settings")
    command(group_, "settings show", _show)
    change = command(group_, "settings set", _set)
    change.add_argument("key", metavar="KEY", help=t("cli.key"))
    change.add_argument("value", nargs="?", metavar="VALUE", help=t("cli.value"))


def _show(args: argparse.Namespace) -> Outcome:
    values = settings.load().model_dump()
    rows = [(name, value, settings.Settings.help(name)) for name, value in values.items()]
    keys = {}
    for shown_as, name in _secrets().items():
        secret, place = secrets.find(name), secrets.where(name)
        shown = secret.masked if secret else None
        keys[shown_as] = {"key": shown, "kept_in": place}
        kept = t(f"cli.kept_in_{place}") if place else t("cli.no_key")
        rows.append((shown_as, shown or "–", kept))
    return Outcome({**values, **keys, "home": str(settings.home())}, table(rows))


def _set(args: argparse.Namespace) -> Outcome:
    name = args.key.replace("-", "_")
    if name in _secrets():
        return _set_key(name, args.value)
    if args.value is None:
        raise UserError("cli.value_missing", key=args.key)
    if name.startswith(_TRAINING):
        return _set_default(name.removeprefix(_TRAINING), args.value)
    values = settings.change(args.key, args.value).model_dump()
    return Outcome(values, t("settings.saved", key=args.key, value=args.value))


def _set_default(option: str, value: str) -> Outcome:
    """Set the default of one option of a training; an empty value takes it back."""
    chosen = defaults.change(option, value or None)
    if value:
        text = t("settings.saved", key=_TRAINING + option, value=chosen[option])
    else:
        text = t("cli.default_forgotten", option=option)
    return Outcome({"training": chosen}, text)


def _set_key(name: str, value: str | None) -> Outcome:
    """Keep a key. It is asked for, because what stands in a command can be read by others."""
    if value is not None:
        raise UserError("cli.key_in_command", key=name)
    text = getpass.getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline()
    secret = _secrets()[name]
    if not text.strip():
        secrets.forget(secret)
        return Outcome({name: None}, t("cli.key_forgotten", key=name))
    place = secrets.save(secret, text)
    return Outcome({name: {"kept_in": place}}, t(f"cli.kept_in_{place}"))


def _secrets() -> dict[str, str]:
    """What is asked for and never shown, by the name it has as a setting."""
    keys = {name + _KEY: name for name in providers.names() if providers.find(name).takes_key}
    return {**keys, **{name: name for name in secrets.PASSWORDS}}
