"""What every window asks once a second: what has changed, and how the work stands."""

import secrets
from collections import OrderedDict
from pathlib import Path

from fastapi import APIRouter, Request

from custom_ai.documents import store
from custom_ai.errors import UserError
from custom_ai.projects.project import Project, projects_folder
from custom_ai.runs.run import Run
from custom_ai.runs.standing import Standing
from custom_ai.settings import settings_file
from custom_ai.texts import t
from custom_ai.ui import journey, last_project
from custom_ai.ui.here import Json, Spoken, project_of

router = APIRouter(prefix="/api", route_class=Spoken)

# A window that sees another name than before knows: the app was started again.
BOOT = secrets.token_hex(4)

_KEPT = 64
_standings: OrderedDict[Path, Standing] = OrderedDict()


@router.get("/pulse")
def pulse(request: Request) -> Json:
    """Versions of what windows show, the state of each step, and which runs are at work.

    "project" is null when the window shows one that is gone.
    """
    found: Json = {
        "boot": BOOT,
        "project": None,
        "versions": {
            "projects": _version(projects_folder()),
            "settings": _version(settings_file()),
        },
        "steps": {},
        "active": [],
    }
    try:
        project = project_of(request)
    except UserError:
        return found
    last_project.remember(project)
    found["project"] = project.slug
    there = journey.look(project)
    found["versions"] |= _versions(project, there)
    found["steps"] = {
        step: {"state": state, "label": t(f"ui.step_{state}")}
        for step, state in there.steps().items()
    }
    found["active"] = [run.task for run in there.active]
    return found


def standing(run: Run) -> Standing:
    """How the run stands; what was read before is not read again."""
    kept = _standings.pop(run.folder, None) or Standing(run)
    _standings[run.folder] = kept
    while len(_standings) > _KEPT:
        _standings.popitem(last=False)
    return kept.read()


def _versions(project: Project, there: journey.Journey) -> dict[str, str]:
    runs = [f"{run.number}{run.state}" for run in there.newest.values()]
    return {
        "documents": _documents(project),
        "samples": f"{_version(project.journal)}{_version(project.samples)}",
        "config": _version(project.config_file),
        "models": _version(project.models),
        "runs": " ".join(runs),
    }


def _documents(project: Project) -> str:
    try:
        return store.version(project)
    except store.Unreachable as error:
        return error.code


def _version(path: Path) -> str:
    try:
        status = path.stat()
    except FileNotFoundError:
        return "-"
    return f"{status.st_mtime_ns:x}.{status.st_size:x}"
