"""`project create | list | show | rename | duplicate | archive | open | delete`."""

import argparse
from pathlib import Path
from typing import Any

from custom_ai.cli.arguments import Parsers, add_project, command, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.documents import library
from custom_ai.errors import UserError
from custom_ai.files import read_lines
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import idle
from custom_ai.runs.run import all_runs
from custom_ai.texts import t


def register(parsers: Parsers) -> None:
    """Add the commands."""
    project = group(parsers, "project")
    create = command(project, "project create", _create)
    create.add_argument("name", metavar="NAME", help=t("cli.new_name"))
    command(project, "project list", _list)
    add_project(command(project, "project show", _show))
    for name, call in (("rename", _rename), ("duplicate", _duplicate)):
        parser = command(project, f"project {name}", call)
        add_project(parser)
        parser.add_argument("name", metavar="NAME", help=t("cli.new_name"))
    archive = command(project, "project archive", _archive)
    add_project(archive)
    archive.add_argument("file", nargs="?", type=Path, metavar="FILE", help=t("cli.archive_target"))
    open_ = command(project, "project open", _open)
    open_.add_argument("file", type=Path, metavar="FILE", help=t("cli.archive_file"))
    open_.add_argument("--name", metavar="NAME", help=t("cli.opened_name"))
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


def _rename(args: argparse.Namespace) -> Outcome:
    old = projects.find(args.project)
    new = idle.rename(old, args.name)
    return Outcome(_brief(new), t("projects.renamed", old=old.slug, name=new.slug))


def _duplicate(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    copy = idle.duplicate(project, args.name)
    text = t("projects.duplicated", name=project.slug, copy=copy.slug, folder=copy.folder)
    return Outcome(_brief(copy), text)


def _archive(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    path = idle.pack(project, args.file)
    data = {"name": project.slug, "path": str(path), "bytes": path.stat().st_size}
    return Outcome(data, t("projects.archived", name=project.slug, path=path))


def _open(args: argparse.Namespace) -> Outcome:
    project = idle.unpack(args.file.expanduser().absolute(), args.name)
    text = t("projects.opened", name=project.slug, folder=project.folder)
    return Outcome(_brief(project), text)


def _delete(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    if not args.yes:
        raise UserError("projects.confirm_delete", name=project.slug, folder=project.folder)
    idle.delete(project)
    return Outcome({"deleted": project.slug}, t("projects.deleted", name=project.slug))


def _brief(project: Project) -> dict[str, Any]:
    return {"name": project.slug, "folder": str(project.folder)}
