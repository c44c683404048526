"""`engine list | install | remove`: the programs that train, those that people add included."""

import argparse
from pathlib import Path

from custom_ai.cli.arguments import Parsers, command, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.cli.progress import Progress
from custom_ai.settings import home
from custom_ai.step import Step
from custom_ai.texts import t
from custom_ai.training import engine as engines
from custom_ai.training import engine_install


def register(parsers: Parsers) -> None:
    """Add the commands."""
    group_ = group(parsers, "engine")
    command(group_, "engine list", _list)
    for name, call in (("install", _install), ("remove", _remove)):
        parser = command(group_, f"engine {name}", call)
        parser.add_argument("name", metavar="ENGINE", help=t("cli.engine_name"))
        if name == "install":
            parser.add_argument("--yes", action="store_true", help=t("cli.agree"))


def _list(args: argparse.Namespace) -> Outcome:
    found = []
    for name in engines.names():
        reason = engines.find(name).unavailable()
        place = engine_install.folder(name) if name in engine_install.INSTALLABLE else None
        there = place if place and place.exists() else None
        found.append({"name": name, "unavailable": reason, "folder": there and str(there)})
    rows = [(e["name"], f"✗ {e['unavailable']}" if e["unavailable"] else "✓") for e in found]
    return Outcome(found, table(rows))


def _install(args: argparse.Namespace) -> Outcome:
    progress = Progress()
    if args.yes:
        progress.say(engine_install.notice(args.name))
    step = Step(Path(home()), progress.show, lambda: None)
    try:
        done = engine_install.install(args.name, args.yes, step)
    finally:
        progress.done()
    versions = ", ".join(f"{k} {v}" for k, v in done["versions"].items() if k != "protocol")
    return Outcome(done, t("cli.engine_installed", name=args.name, versions=versions))


def _remove(args: argparse.Namespace) -> Outcome:
    removed = engine_install.remove(args.name)
    text = t("cli.engine_removed" if removed else "cli.engine_not_there", name=args.name)
    return Outcome({"name": args.name, "removed": removed}, text)
