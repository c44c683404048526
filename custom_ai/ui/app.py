"""The app as one ASGI application: the page in each language, and the routes beside it."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from custom_ai import settings
from custom_ai.texts import LANGUAGES
from custom_ai.ui import last_project, routes
from custom_ai.ui.here import language_of
from custom_ai.ui.pages import Pages

STATIC = Path(__file__).parent / "static"


def create_app() -> FastAPI:
    """Everything the app answers. It starts nothing: runs have processes of their own.

    Its `state.pages` are the Pages, none of which is loaded yet.
    """
    app = begin()
    complete(app)
    return app


def begin() -> FastAPI:
    """What can be there first: it tells open windows how the work stands."""
    pages = Pages()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=pages.lifespan)
    app.state.pages = pages
    app.add_api_route("/", _front_door, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for router in routes.first():
        app.include_router(router)
    return app


def complete(app: FastAPI) -> None:
    """Add all the rest to what has begun; it may be answering already."""
    for router in routes.others():
        app.include_router(router)
    app.mount("", app.state.pages, name="pages")


def _front_door(request: Request) -> Response:
    """To the page in the chosen language, with the project that was open last."""
    chosen = settings.load().language
    lang = chosen if chosen in LANGUAGES else language_of(request)
    slug = last_project.recall()
    return RedirectResponse(f"/{lang}/" + (f"?project={slug}" if slug else ""), 303)
