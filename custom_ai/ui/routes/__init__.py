"""HTML fragments and JSON for the parts of the page that show the state of things.

Every module here holds one `router`; they are found by the names of their files.
"""

import importlib
import pkgutil
from collections.abc import Iterator

from fastapi import APIRouter


def routers() -> Iterator[APIRouter]:
    """The routers of all modules."""
    for module in pkgutil.iter_modules(__path__):
        yield importlib.import_module(f"{__name__}.{module.name}").router
