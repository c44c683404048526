"""`project create | list | show | delete`."""

import argparse
from typing import Any

from custom_ai.cli.arguments import Parsers, add_project, command, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.documents import library
from custom_ai.errors import UserError
from custom_ai.files import read_lines
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from custom_ai.projects.project import Project
from custom_ai.runs.run import all_runs
from custom_ai.texts import t


def register(parsers: Parsers) -> None:
    """Add the commands."""
    project = group(parsers, "project")
    create = command(project, "project create", _create)
    create.add_argument("name", metavar="NAME", help=t("cli.new_name"))
    command(project, "project list", _list)
    add_project(command(project, "project show", _show))
    delete = command(project, "project delete", _delete)
    add_project(delete)
    delete.add_argument("--yes", action="store_true", help=t("cli.yes"))


def _create(args: argparse.Namespace) -> Outcome:
    project = projects.create(args.name)
    text = t("projects.created", name=project.slug, folder=project.folder)
    return Outcome(_brief(project), text)


def _list(args: argparse.Namespace) -> Outcome:
    found = [_brief(project) for project in projects.find_all()]
    text = table([(p["name"], p["folder"]) for p in found]) or t("projects.none")
    return Outcome(found, text)


def _show(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    documents = library.list_all(project)
    samples, _ = read_lines(project.samples)
    models = sorted(path.name for path in project.models.iterdir() if path.is_dir())
    data = {
        **_brief(project),
        **project.config.model_dump(),
        "documents": len(documents),
        "chunks": sum(document.chunks for document in documents),
        "samples": len(samples),
        "runs": len(all_runs(project)),
        "models": models,
    }
    data["name"] = project.slug
    shown = ("name", "folder", "base_model", "documents", "chunks", "samples", "runs")
    rows = [(t(f"projects.field_{key}"), data[key]) for key in shown]
    rows.append((t("projects.field_models"), ", ".join(models) or "–"))
    return Outcome(data, table(rows))


def _delete(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    if not args.yes:
        raise UserError("projects.confirm_delete", name=project.slug, folder=project.folder)
    with writing(project, "delete"):
        projects.delete(project)
    return Outcome({"deleted": project.slug}, t("projects.deleted", name=project.slug))


def _brief(project: Project) -> dict[str, Any]:
    return {"name": project.slug, "folder": str(project.folder)}
