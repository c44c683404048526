"""`model list | set`: the base model of a project."""

import argparse
from pathlib import Path

from custom_ai.cli.arguments import Parsers, add_project, command, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.models.catalogue import list_known, resolve
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from custom_ai.texts import t


def register(parsers: Parsers) -> None:
    """Add the commands."""
    model = group(parsers, "model")
    command(model, "model list", _list)
    choose = command(model, "model set", _set)
    add_project(choose)
    choose.add_argument("model", metavar="MODEL", help=t("cli.model_name"))


def _list(args: argparse.Namespace) -> Outcome:
    known = list_known()
    return Outcome(known, table([(m["name"], m["description"]) for m in known]))


def _set(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    name = args.model
    if name != "starter" and Path(name).expanduser().is_dir():
        # A relative path would mean another folder tomorrow.
        name = str(Path(name).expanduser().absolute())
    model = resolve(name)
    with writing(project, "model set"):
        project.change(base_model=model.name)
    return Outcome({"base_model": model.name}, t("cli.model_chosen", model=model.name))
