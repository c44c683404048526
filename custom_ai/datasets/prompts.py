"""The words a model is asked with, German or English like the document, and open to be changed.

A template is text with variables such as {chunk}; each is replaced once, by plain text, and what it
holds is never looked into. A project has its own templates, or those of the settings, or ours.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from custom_ai import settings
from custom_ai.datasets.plan import Chunk
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers.provider import Message

LANGUAGES = ("de", "en")
# Who writes samples is asked with the first two, who judges them with the others.
PARTS = ("system", "user")
JUDGE_PARTS = ("judge_system", "judge_user")
NAMES = tuple(f"{language}.{part}" for language in LANGUAGES for part in (*PARTS, *JUDGE_PARTS))

# What may stand in a template, in the order in which it is explained.
VARIABLES = ("chunk", "count", "language", "topic", "document", "earlier", "fence")
JUDGE_VARIABLES = ("chunk", "samples", "count", "language", "topic", "document", "fence")
NEEDED = {
    "user": ("chunk",), "system": (), "judge_user": ("chunk", "samples"), "judge_system": (),
}  # fmt: skip
MAX_CHARACTERS = 20_000

# The last questions suffice to steer a model away from them.
MAX_EARLIER = 20

_VARIABLE = re.compile(r"\{([a-z_]+)\}")
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


@dataclass(frozen=True)
class Prompts:
    """The templates to ask with, by their names ("de.user"); ours where there is no other."""

    changed: Mapping[str, str] = field(default_factory=dict)

    def template(self, name: str) -> str:
        """The template of this name."""
        return self.changed.get(name) or default(name)

    def version(self, language: str) -> str:
        """A short checksum of all words a chunk in this language is asked about with."""
        return self.checksum(language, PARTS, _shipped(f"{language_of(language)}.earlier"))

    def checksum(self, language: str, parts: Sequence[str], *more: str) -> str:
        """A short checksum of these templates and of what comes with them."""
        words = [*self.templates(language, parts).values(), *more]
        return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]

    def templates(self, language: str, parts: Sequence[str] = PARTS) -> dict[str, str]:
        """The templates a chunk in this language is asked about with, by their names."""
        of = language_of(language)
        return {f"{of}.{part}": self.template(f"{of}.{part}") for part in parts}

    def messages(self, chunk: Chunk, count: int, earlier: Sequence[str]) -> tuple[Message, ...]:
        """Ask for `count` pairs about a chunk; `earlier` are the questions it already has."""
        of = language_of(chunk.language)
        fence = fence_of(chunk.text)
        questions = "\n".join(f"- {question}" for question in earlier[-MAX_EARLIER:])
        values = {
            "chunk": f"{fence}\n{chunk.text.strip()}\n{fence}",
            "count": str(count),
            "language": language_name(chunk.language),
            "topic": " › ".join(chunk.heading_path) or chunk.filename.rpartition(".")[0],
            "document": chunk.filename,
            "earlier": fill(_shipped(f"{of}.earlier"), {"questions": questions}) if earlier else "",
            "fence": fence,
        }
        return (
            Message("system", fill(self.template(f"{of}.system"), values).strip()),
            Message("user", fill(self.template(f"{of}.user"), values).strip()),
        )


SHIPPED = Prompts()


def of(project: Project) -> Prompts:
    """The templates of a project."""
    return Prompts({**settings.load().prompts, **project.config.prompts})


def default(name: str) -> str:
    """The template that custom-ai comes with; raises UserError for an unknown name."""
    if name not in NAMES:
        raise UserError("datasets.unknown_prompt", name=name, known=", ".join(NAMES))
    return _shipped(name)


def problem(name: str, text: str) -> UserError | None:
    """What is wrong with a template; None for a good one."""
    used = set(_VARIABLE.findall(text))
    if unknown := sorted(used - set(variables(name))):
        return UserError(
            "datasets.unknown_variable", found=_shown(unknown), known=_shown(variables(name))
        )
    if missing := [name for name in NEEDED[name.partition(".")[2]] if name not in used]:
        return UserError("datasets.missing_variable", missing=_shown(missing))
    if len(text) > MAX_CHARACTERS:
        return UserError("datasets.prompt_too_long", count=len(text), limit=MAX_CHARACTERS)
    return None


def change(project: Project | None, name: str, text: str | None) -> None:
    """Set a template of a project, or with None that of the settings; UserError when it is wrong.

    What says the same as the template it stands for, or nothing, is not kept. text None: go back.
    """
    stands_for = default(name)
    if project is not None:
        stands_for = settings.load().prompts.get(name, stands_for)
    wanted = (text or "").replace("\r\n", "\n").strip()
    if wanted and (wrong := problem(name, wanted)):
        raise wrong
    kept = dict(project.config.prompts if project else settings.load().prompts)
    kept.pop(name, None)
    if wanted and wanted != stands_for.strip():
        kept[name] = wanted
    if project:
        project.change(prompts=kept)
    else:
        settings.change_all({"prompts": kept})


def messages(chunk: Chunk, count: int, earlier: Sequence[str]) -> tuple[Message, ...]:
    """As Prompts.messages, with the templates that custom-ai comes with."""
    return SHIPPED.messages(chunk, count, earlier)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put each value in the place of its {name}, once: what a value holds is never replaced."""
    return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), template)


def variables(name: str) -> tuple[str, ...]:
    """What may stand in the template of this name."""
    return JUDGE_VARIABLES if name.partition(".")[2] in JUDGE_PARTS else VARIABLES


def language_of(language: str) -> str:
    """The language of the templates for a document in this one."""
    return "de" if language == "de" else "en"


def language_name(language: str) -> str:
    """What a model is told a language is called."""
    return _LANGUAGES.get(language, _LANGUAGES[""])


def _shown(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


def fence_of(text: str) -> str:
    """A line that the text can't hold, so that it can't pretend to end.

    Half of its SHA-256 suffices: a text that holds this would have to contain a part of its own
    checksum, and to find one takes some 2^64 tries for each chunk, whose bounds its author doesn't
    know. Chance instead would change the words, and the answer, of a request that is asked again.
    """
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return f"===== {digest[:16]} ====="


@cache
def _shipped(name: str) -> str:
    return (files(__package__) / "templates" / f"{name}.txt").read_text(encoding="utf-8")
