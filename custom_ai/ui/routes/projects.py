"""The top bar and the first page: which projects there are, and what can be done with one."""

import shutil
import tempfile
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from starlette.concurrency import run_in_threadpool

from custom_ai import demo, hardware, settings
from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import idle, requests, runner
from custom_ai.settings import home
from custom_ai.texts import t
from custom_ai.ui import answers
from custom_ai.ui.here import Here, Spoken, language_of, project_of
from custom_ai.ui.render import render
from custom_ai.ui.reveal import reveal

router = APIRouter(prefix="/api", route_class=Spoken, default_response_class=HTMLResponse)

Name = Annotated[str, Form()]
Dialog = Literal["create", "open", "rename", "duplicate", "archive", "delete"]


@router.get("/top")
def top(request: Request) -> str:
    """The project switcher."""
    return render("top", current=_current(request), projects=projects.find_all())


@router.get("/machine")
def machine() -> str:
    """The chip of the hardware, with its warnings and their reasons."""
    return render("machine", found=hardware.detect(home()))


@router.get("/welcome")
def welcome() -> str:
    """What a window without a project shows."""
    return render("welcome", projects=projects.find_all())


@router.post("/language/{lang}")
def speak(lang: Literal["de", "en"]) -> Response:
    """Remember the language; the window goes to its page by itself."""
    settings.change("language", lang)
    return Response(status_code=204)


@router.get("/projects/dialog/{name}")
def dialog(name: Dialog, request: Request) -> str:
    """The dialog of one action."""
    current = _current(request)
    archives = sorted(_archives().glob("*.zip"), key=lambda path: path.stat().st_mtime)
    return render(f"dialog_{name}", project=current, archives=archives[::-1])


@router.post("/projects/create")
def create(name: Name, request: Request) -> Response:
    """Make a project and go to it."""
    return _go_to(projects.create(name), request)


@router.post("/projects/sample")
def sample(request: Request) -> Response:
    """Make a project of the sample documents, begin to read them, and go to it."""
    project = projects.create(_free(t("ui.sample_project")))
    runner.start(project, "documents", requests.documents(demo.documents()))
    return _go_to(project, request)


@router.post("/projects/rename")
def rename(name: Name, project: Here, request: Request) -> Response:
    """Give the project another name."""
    answers.put_away()
    return _go_to(idle.rename(project, name), request)


@router.post("/projects/duplicate")
def duplicate(name: Name, project: Here, request: Request) -> Response:
    """Make a copy and go to it."""
    return _go_to(idle.duplicate(project, name), request)


@router.post("/projects/delete")
def delete(project: Here, request: Request) -> Response:
    """Remove the project for good."""
    answers.put_away()
    idle.delete(project)
    return Response(status_code=204, headers={"HX-Redirect": f"/{language_of(request)}/"})


@router.post("/projects/archive")
def archive(project: Here) -> str:
    """Pack the project into a zip file; the dialog then says where it lies."""
    return render("dialog_archived", path=idle.pack(project))


@router.get("/projects/archives/{name}")
def download(name: str) -> FileResponse:
    """An archive that was packed before."""
    return FileResponse(_archive(name), filename=name, media_type="application/zip")


@router.post("/projects/archives/{name}/reveal", status_code=204)
def show_archive(name: str) -> None:
    """Show an archive in the file manager of the system."""
    reveal(_archive(name))


@router.post("/projects/open")
async def unpack(request: Request, name: str = "", file: str = "") -> Response:
    """Make a project of an archive: one packed here (`file`), else the one that was sent."""
    if file:
        return _go_to(await run_in_threadpool(idle.unpack, _archive(file), name or None), request)
    folder = Path(await run_in_threadpool(tempfile.mkdtemp, dir=_cache()))
    try:
        sent = folder / "archive.zip"
        with open(sent, "wb") as stream:
            async for piece in request.stream():
                await run_in_threadpool(stream.write, piece)
        project = await run_in_threadpool(idle.unpack, sent, name or None)
    finally:
        await run_in_threadpool(shutil.rmtree, folder)
    return _go_to(project, request)


def _go_to(project: Project, request: Request) -> Response:
    address = f"/{language_of(request)}/?project={quote(project.slug)}#documents"
    return Response(status_code=204, headers={"HX-Redirect": address})


def _current(request: Request) -> Project | None:
    try:
        return project_of(request)
    except UserError:
        return None


def _free(name: str) -> str:
    """The name, with a number behind it where there is such a project already."""
    taken = {project.slug for project in projects.find_all()}
    names = chain([name], (f"{name} {number}" for number in count(2)))
    return next(each for each in names if projects.slug_of(each) not in taken)


def _archives() -> Path:
    return home() / "archives"


def _archive(name: str) -> Path:
    """The archive of that name; what is not in the list of the folder is not there."""
    for path in _archives().glob("*.zip"):
        if path.name == name:
            return path
    raise UserError("projects.archive_missing", path=name)


def _cache() -> Path:
    folder = home() / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
