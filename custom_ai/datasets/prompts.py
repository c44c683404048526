"""The words a model is asked with, German or English like the document."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from custom_ai.datasets.plan import Chunk
from custom_ai.providers.provider import Message

# Changes with every change of the templates; each sample says which one made it.
PROMPT_VERSION = "1"

# The last questions suffice to steer a model away from them.
MAX_EARLIER = 20

_LANGUAGES = {"de": "Deutsch", "en": "English", "": "the language of the text"}

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "pairs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    name: {"type": "string"} for name in ("instruction", "output", "quote", "kind")
                },
                "required": ["instruction", "output", "quote", "kind"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["pairs"],
    "additionalProperties": False,
}


def messages(chunk: Chunk, count: int, earlier: Sequence[str]) -> tuple[Message, ...]:
    """Ask for `count` pairs about a chunk; `earlier` are the questions it already has."""
    template = "de" if chunk.language == "de" else "en"
    language = _LANGUAGES.get(chunk.language, _LANGUAGES[""])
    questions = "\n".join(f"- {question}" for question in earlier[-MAX_EARLIER:])
    values = {
        "document": " › ".join((chunk.filename, *chunk.heading_path)),
        "text": chunk.text.strip(),
        "fence": _fence(chunk.text),
        "count": str(count),
        "language": language,
        "earlier": fill(_template(f"{template}.earlier"), {"questions": questions})
        if earlier
        else "",
    }
    return (
        Message("system", _template(f"{template}.system").strip()),
        Message("user", fill(_template(f"{template}.user"), values).strip()),
    )


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put each value in the place of its {{name}}, once: what a value holds is never replaced."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _fence(text: str) -> str:
    """A line that the text can't hold, so that it can't pretend to end."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return f"===== {digest[:16]} ====="


@cache
def _template(name: str) -> str:
    return (files(__package__) / "templates" / f"{name}.txt").read_text(encoding="utf-8")
