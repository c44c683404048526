"""The few pieces of ASGI that answer before any web framework is loaded."""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from custom_ai.texts import LANGUAGES, language

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[str, str]]


def header(scope: Scope, name: str) -> str | None:
    """One header of the request; None where it is missing or stands there more than once."""
    found = headers(scope, name)
    return found[0] if len(found) == 1 else None


def headers(scope: Scope, name: str) -> list[str]:
    """Every header of the request with this name."""
    wanted = name.lower().encode()
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted]


def wants_page(scope: Scope) -> bool:
    """Whether a person will see the answer: a browser opens a page, it doesn't fetch data."""
    return scope["method"] in ("GET", "HEAD") and "text/html" in (header(scope, "accept") or "")


def language_of(scope: Scope) -> str:
    """The language of a page that is asked for: its address names one, else the browser does."""
    in_path = re.match(r"/(\w\w)(/|$)", scope["path"])
    if in_path and in_path[1] in LANGUAGES:
        return in_path[1]
    wishes = (header(scope, "accept-language") or "").lower().split(",")
    spoken = (wish.strip()[:2] for wish in wishes)
    return next((short for short in spoken if short in LANGUAGES), language())


async def answer(
    send: Send,
    status: int,
    body: bytes,
    kind: str = "text/html",
    more: Headers = (),
    cache: str = "no-store",
) -> None:
    """Send a whole response; without `cache`, nothing of it may be kept."""
    lines = [
        ("content-type", f"{kind}; charset=utf-8"),
        ("content-length", str(len(body))),
        ("cache-control", cache),
        *more,
    ]
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in lines]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, status: int, value: Any, more: Headers = ()) -> None:
    """As answer, with a JSON document."""
    await answer(send, status, json.dumps(value).encode(), "application/json", more)
