"""Pages that need nothing but themselves: shown while the app is loaded, or instead of it."""

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files

from custom_ai.ui import warming


def render(lang: str, title: str, lines: Sequence[str], waits: bool = False) -> bytes:
    """A page with the product's mark, a title and some lines; `waits`: it goes on by itself."""
    values = {
        "language": lang,
        "title": escape(title),
        "lines": "\n".join(f"<p>{escape(line)}</p>" for line in lines if line),
        "state": "waiting" if waits else "still",
        "mode": _file("early.js"),
        "mark": _file("mark.svg"),
        "script": f"<script>{_file('splash.js')}</script>" if waits else "",
        "files": escape(json.dumps(warming.paths(lang) if waits else [])),
    }
    page = _file("plain_page.html")
    for name, value in values.items():
        page = page.replace(f"[[{name}]]", value)
    return page.encode("utf-8")


def forward(target: str) -> bytes:
    """A page that goes on to another address of ours at once."""
    head = f'<meta http-equiv="refresh" content="0;url={escape(target)}">'
    return f"<!doctype html><title>custom-ai</title>{head}".encode()


@cache
def _file(name: str) -> str:
    return (files(__package__) / "static" / name).read_text(encoding="utf-8")
