"""From a file to its text: what a reader is, which one fits a file, and what can go wrong."""

import importlib
import os
import pkgutil
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from custom_ai.documents import readers
from custom_ai.errors import UserError

MAX_BYTES = 300_000_000
# Characters; some 40,000 pages.
MAX_TEXT = 100_000_000

# Told how many pages of a file are read, and how many it has.
OnPage = Callable[[int, int], None]
# The characters [start, end) of a text.
Span = tuple[int, int]


def no_matter(done: int, total: int) -> None:
    """An OnPage for those who don't want to know."""


class Heading(NamedTuple):
    """Where a heading's line starts in the text, its depth (1 is the highest), its words."""

    offset: int
    level: int
    title: str


@dataclass(frozen=True)
class Parsed:
    """What a reader found in a file.

    text: the whole document, lines ended by "\\n"; every offset counts its characters.
    pages: where each page starts in the text, or None where the format has no pages.
    headings: in the order of the text.
    recognised, unread: numbers, from 1, of the pages that are pictures: those whose text was
    recognised in them (OCR), and those of which nothing could be read. recogniser: what looked for
    text in them, such as "tesseract/deu+eng"; "" where there was nothing.
    removed_lines: running headers, footers and page numbers that are not in the text.
    hidden: the stretches of the text that people don't see who look at the document.
    """

    text: str
    pages: Sequence[int] | None
    headings: Sequence[Heading]
    media_type: str
    recognised: Sequence[int] = ()
    unread: Sequence[int] = ()
    removed_lines: int = 0
    recogniser: str = ""
    hidden: Sequence[Span] = ()

    def page(self, offset: int) -> int | None:
        """The number, from 1, of the page that holds the character at `offset`."""
        return None if self.pages is None else max(1, bisect_right(self.pages, offset))

    def facts(self) -> dict[str, Any]:
        """What is kept about the whole document, as JSON can hold it."""
        return {
            "removed_lines": self.removed_lines,
            "recognised": list(self.recognised),
            "unread": list(self.unread),
            "recogniser": self.recogniser,
            "hidden": [list(span) for span in self.hidden],
        }

    def heading_path(self, offset: int) -> list[str]:
        """The titles in force at `offset`, from the outermost to the innermost."""
        number = bisect_right(self._heading_offsets, offset)
        return self._paths[number - 1] if number else []

    @cached_property
    def _heading_offsets(self) -> list[int]:
        return [heading.offset for heading in self.headings]

    @cached_property
    def _paths(self) -> list[list[str]]:
        paths = []
        open_headings: list[Heading] = []
        for heading in self.headings:
            while open_headings and open_headings[-1].level >= heading.level:
                open_headings.pop()
            open_headings.append(heading)
            paths.append([h.title for h in open_headings])
        return paths


class Reader(Protocol):
    """Reads one kind of file; `custom_ai/documents/readers/<name>.py` holds one as `reader`.

    suffixes: lower case, with the dot.
    version: goes up when the same file would give another text, so that it is read again.
    """

    @property
    def suffixes(self) -> tuple[str, ...]: ...

    @property
    def version(self) -> int: ...

    def unavailable(self) -> str | None:
        """None, or the name of what must be installed first."""
        ...

    def read(self, path: Path, on_page: OnPage = no_matter) -> Parsed:
        """Read a file; raises UserError when its content can't be read.

        on_page: to be called after each page, where the format has pages.
        """
        ...


def read(path: Path, on_page: OnPage = no_matter) -> Parsed:
    """Read any file that one of the readers understands, in this very process.

    Whoever does not know what the file may do takes `reader_process`. Raises UserError when it is
    missing, too big, of an unknown kind, damaged, locked by a password or without text.
    """
    reader = check(path)
    parsed = reader.read(path, on_page)
    if len(parsed.text) > MAX_TEXT:
        raise too_much_text(path.name)
    if not re.search(r"\w", parsed.text):
        raise UserError("documents.empty", name=path.name)
    return parsed


def check(path: Path) -> Reader:
    """What can be said of a file before it is opened; returns its reader, or raises UserError."""
    _, reader = reader_for(path)
    if not path.exists():
        raise UserError("documents.missing", path=path)
    size = os.stat(path).st_size
    if size == 0:
        raise UserError("documents.empty", name=path.name)
    if size > MAX_BYTES:
        limit = MAX_BYTES // 1_000_000
        raise UserError("documents.too_big", name=path.name, size=size // 1_000_000, limit=limit)
    if missing := reader.unavailable():
        raise UserError("documents.reader_unavailable", name=path.name, package=missing)
    return reader


def too_much_text(name: str) -> UserError:
    """What to say of a file with more than MAX_TEXT characters."""
    return UserError("documents.too_much_text", name=name, limit=MAX_TEXT // 1_000_000)


def reader_for(path: Path) -> tuple[str, Reader]:
    """The reader of a file, by its suffix, with the name it has in the database ("pdf/1")."""
    suffix = path.suffix.lower()
    # Most readers are named after what they read: then the others need not be loaded.
    likely = suffix.removeprefix(".")
    if likely in names() and suffix in find(likely).suffixes:
        return f"{likely}/{find(likely).version}", find(likely)
    found = by_suffix().get(suffix)
    if found is None:
        raise UserError(
            "documents.unsupported", name=path.name, known=", ".join(sorted(by_suffix()))
        )
    name, reader = found
    return f"{name}/{reader.version}", reader


def names() -> list[str]:
    """Every reader, by the names of the files; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(readers.__path__))


@cache
def find(name: str) -> Reader:
    """The reader of that name."""
    reader: Reader = importlib.import_module(f"{readers.__name__}.{name}").reader
    return reader


@cache
def by_suffix() -> dict[str, tuple[str, Reader]]:
    """Every suffix that can be read, with the name of its reader and the reader."""
    return {suffix: (name, find(name)) for name in names() for suffix in find(name).suffixes}
