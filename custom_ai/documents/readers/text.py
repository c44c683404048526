"""Plain text: any encoding; underlined and numbered lines count as headings, with caution."""

import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

from custom_ai.documents import encoding
from custom_ai.documents.reader import Heading, OnPage, Parsed, no_matter

_UNDERLINE = re.compile(r"([=\-~])\1{2,}\s*")
_NUMBERED = re.compile(r"(?P<number>\d{1,3}(?:\.\d{1,3}){0,5})\.?[ \t]+(?=[^\W\d_])")
_CHAPTER = re.compile(
    r"(?:Chapter|Part|Appendix|Kapitel|Teil|Anhang) (?:\d{1,3}|[IVXLC]+|[A-Z])\b[.:]?"
)
_LONGEST_TITLE = 100
_UNDERLINE_LEVELS = {"=": 1, "-": 2, "~": 3}


class TextReader:
    """Reads plain text files."""

    suffixes = (".txt", ".text")
    version = 1

    def unavailable(self) -> str | None:
        """None, or the package to install."""
        return None if find_spec("charset_normalizer") else "charset-normalizer"

    def read(self, path: Path, on_page: OnPage = no_matter) -> Parsed:
        """Read the file; raises UserError when it holds no text."""
        text = encoding.read_text(path)
        return Parsed(text, None, list(_headings(text)), "text/plain")


def _headings(text: str) -> Iterator[Heading]:
    lines = text.split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    for number, line in enumerate(lines):
        title = line.strip()
        if not title or len(title) > _LONGEST_TITLE or (number and lines[number - 1].strip()):
            continue
        level = _underlined(lines, number) or _numbered(lines, number)
        if level:
            yield Heading(starts[number], level, title)


def _underlined(lines: Sequence[str], number: int) -> int | None:
    """The level of a line by the row of signs under it."""
    title = lines[number].strip()
    below = lines[number + 1] if number + 1 < len(lines) else ""
    match = _UNDERLINE.fullmatch(below.strip())
    if not match or not re.search(r"[^\W_]", title):
        return None
    fits = 0.6 * len(title) <= len(below.strip()) <= len(title) + 4 or len(below.strip()) >= 40
    return _UNDERLINE_LEVELS[match[1]] if fits else None


def _numbered(lines: Sequence[str], number: int) -> int | None:
    """The level of a line that stands by itself and begins with a number or "Chapter 1"."""
    line = lines[number]
    alone = number + 1 >= len(lines) or not lines[number + 1].strip()
    if not alone or line[:1].isspace() or line.rstrip().endswith((".", ",", ";", "!", ":")):
        return None
    if _CHAPTER.match(line):
        return 1
    match = _NUMBERED.match(line)
    if not match:
        return None
    level = match["number"].count(".") + 1
    # The items of a numbered list follow each other; a heading is followed by text.
    following = next((other for other in lines[number + 1 :] if other.strip()), "")
    after = _NUMBERED.match(following)
    if after and after["number"].count(".") + 1 == level:
        return None
    return level if following else None


reader = TextReader()
