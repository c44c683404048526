"""The top bar and the first page: which projects there are, and what can be done with one."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse

from custom_ai import hardware, settings
from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner
from custom_ai.settings import home
from custom_ai.texts import t
from custom_ai.ui.here import Here, Spoken, language_of, project_of
from custom_ai.ui.render import render

router = APIRouter(prefix="/api", route_class=Spoken, default_response_class=HTMLResponse)

Name = Annotated[str, Form()]
Dialog = Literal["create", "open", "rename", "duplicate", "archive", "delete"]


@router.get("/top")
def top(request: Request) -> str:
    """The project switcher."""
    known = projects.find_all()
    return render("top", current=_current(request), projects=known)


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


def _current(request: Request) -> Project | None:
    try:
        return project_of(request)
    except UserError:
        return None
