"""Where a request comes from: which project its window shows, and in which language.

Every window says both with each request, in two headers; nothing about a window is kept here, so
windows can't see each other's state, and a restarted app needs to remember nothing.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute

from custom_ai.errors import UserError, from_exception
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.settings import home
from custom_ai.texts import LANGUAGES, in_language, system_language
from custom_ai.ui.render import banner

PROJECT_HEADER = "x-project"
LANGUAGE_HEADER = "x-language"

_log = logging.getLogger(__name__)


class Spoken(APIRoute):
    """A route that speaks its window's language and says failures the way people can read them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route, surrounded by language and failures."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            with in_language(language_of(request)):
                try:
                    return await inner(request)
                except Exception as error:
                    return _answer(request, explain(error))

        return handle


def language_of(request: Request) -> str:
    """The language of the window: its header, else what the browser prefers, else the system's."""
    if (said := request.headers.get(LANGUAGE_HEADER, "")) in LANGUAGES:
        return said
    for wish in request.headers.get("accept-language", "").split(","):
        if (short := wish.strip()[:2].lower()) in LANGUAGES:
            return short
    return system_language()


def project_of(request: Request) -> Project:
    """The project the window shows; raises UserError when it is gone."""
    named = request.headers.get(PROJECT_HEADER) or request.query_params.get("project", "")
    return projects.find(unquote(named))


def explain(error: Exception) -> UserError:
    """The failure in words; what nobody can act on goes into the log with its traceback."""
    if found := from_exception(error):
        return found
    _log.error("unexpected failure", exc_info=error)
    reason = f"{type(error).__name__}: {error}"
    return UserError("errors.unexpected", reason=reason, log=home() / "logs" / "app.log")


def _answer(request: Request, error: UserError) -> Response:
    if "hx-request" not in request.headers:
        return JSONResponse({"error": error.as_json()}, 422)
    # Where it goes, static/app.js decides: into the banner, or into the dialog that covers it.
    aside = {"HX-Reswap": "innerHTML"}
    return HTMLResponse(banner(error), 422, headers=aside)


Here = Annotated[Project, Depends(project_of)]
Json = dict[str, Any]
