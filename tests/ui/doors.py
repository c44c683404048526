"""Every door of an app, tried by those who must stay outside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from tests.ui.serving import Served

Route = tuple[str, str]


def routes_of(app: Any, prefix: str = "") -> Iterator[Route]:
    """Every (method, path) of a Starlette, FastAPI or Gradio app, mounted ones included.

    Parameters in a path get a value; a mounted folder of files is one path.
    """
    for route in app.routes:
        path = prefix + re.sub(r"\{[^}]*\}", "1", getattr(route, "path", ""))
        if inner := getattr(getattr(route, "app", None), "routes", None):
            yield from routes_of(route.app, path) if inner else ()
        elif methods := getattr(route, "methods", None):
            yield from ((method, path) for method in sorted(methods))
        elif hasattr(route, "original_router"):
            yield from routes_of(route.original_router, path)
        else:
            yield "GET", path or "/"


def open_doors(served: Served, routes: Iterable[Route], cookie: str) -> list[str]:
    """Requests that were let in though they should not have been, one line each."""
    own = f"http://127.0.0.1:{served.port}"
    strangers = {
        "no cookie": (401, {}),
        "another cookie": (401, {"Cookie": f"{cookie[:-1]}~"}),
        "another host": (421, {"Cookie": cookie, "Host": f"evil.example:{served.port}"}),
        "another port": (421, {"Cookie": cookie, "Host": "127.0.0.1:1"}),
        "another page": (403, {"Cookie": cookie, "Origin": "http://evil.example"}),
        "a page of nowhere": (403, {"Cookie": cookie, "Origin": "null"}),
        "another site": (403, {"Cookie": cookie, "Origin": own, "Sec-Fetch-Site": "cross-site"}),
    }
    wrong = []
    for method, path in routes:
        for who, (expected, headers) in strangers.items():
            status = served.ask(method, path, headers).status
            if status != expected:
                wrong.append(f"{who}: {method} {path} gave {status}, not {expected}")
    return wrong
