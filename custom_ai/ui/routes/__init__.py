"""HTML fragments and JSON for the parts of the page that show the state of things.

Every module here holds one `router`; they are found by the names of their files.
"""

import importlib
import pkgutil
from collections.abc import Iterator

from fastapi import APIRouter

# How the work stands: what open windows ask for first, each with the beginning of its addresses.
# These modules import little.
FIRST = {"pulse": "/api/pulse", "runs": "/api/runs/"}


def first() -> Iterator[APIRouter]:
    """The routers of FIRST."""
    yield from map(_router, FIRST)


def others() -> Iterator[APIRouter]:
    """The routers of all other modules."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    yield from (_router(name) for name in names if name not in FIRST)


def _router(name: str) -> APIRouter:
    router = importlib.import_module(f"{__name__}.{name}").router
    assert isinstance(router, APIRouter)
    return router
