"""Every word people read, in German and English.

One JSON file per package and language, `<language>/<package>.json`, a flat object from key to
text. The key `documents.missing` is the entry `missing` of `documents.json`.
"""

import json
import locale
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "de")

# "custom-ai train …" in a text, where app.py was started as "python app.py train …".
_COMMAND = re.compile(
    r"\bcustom-ai (?=(?:chat|demo|doctor|documents|evaluate|export|model|project|runs|samples|"
    r"settings|train|ui)\b)"
)

_chosen: str | None = None
_here: ContextVar[str | None] = ContextVar("language", default=None)


def system_language() -> str:
    """The language of the operating system: "de" or "en" (for every other language, too)."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return "de" if value.lower().startswith("de") else "en"
    name = locale.getlocale()[0] or ""
    return "de" if name.lower().startswith(("de", "german")) else "en"


def use_language(language: str | None) -> None:
    """Choose the language of this process; None goes back to the system's."""
    global _chosen
    _chosen = language if language in LANGUAGES else None


@contextmanager
def in_language(language: str) -> Iterator[None]:
    """Speak this language in the block: the app answers each window in the window's own."""
    before = _here.set(language if language in LANGUAGES else None)
    try:
        yield
    finally:
        _here.reset(before)


def language() -> str:
    """The language in force: the block's, the environment's wish, the chosen one, the system's."""
    if here := _here.get():
        return here
    wish = os.environ.get("CUSTOM_AI_LANGUAGE")
    return wish if wish in LANGUAGES else _chosen or system_language()


def t(key: str, /, lang: str | None = None, **values: object) -> str:
    """The text behind `key`, with each `{name}` replaced by the value of that name.

    Plain replacement, not str.format: a file name with braces must stay as it is.
    Raises KeyError for an unknown key, so that a test finds it before a user does.
    """
    package, _, name = key.partition(".")
    text = catalogue(package, lang or language())[name]
    text = re.sub(r"\{(\w+)\}", lambda m: str(values[m[1]]) if m[1] in values else m[0], text)
    return as_typed_here(text)


def as_typed_here(text: str) -> str:
    """The text with every command as people type it where the program was started."""
    program = os.environ.get("CUSTOM_AI_PROGRAM")
    return _COMMAND.sub(lambda _: f"{program} ", text) if program else text


def known(key: str) -> bool:
    """Whether a text exists behind `key` (in English; a test holds both languages equal)."""
    package, _, name = key.partition(".")
    return package in packages() and name in catalogue(package, "en")


@cache
def catalogue(package: str, lang: str) -> dict[str, str]:
    """All texts of one package in one language."""
    path = files(__package__) / lang / f"{package}.json"
    texts: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return texts


@cache
def packages() -> frozenset[str]:
    """The packages that have texts."""
    folder = files(__package__) / "en"
    return frozenset(entry.name.removesuffix(".json") for entry in folder.iterdir())
