"""From lines on pages to running text: no line-end hyphens, real paragraphs, whole tables."""

import itertools
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import NamedTuple

from custom_ai.documents import tables

# A gap between lines this much larger than usual begins a new paragraph.
_PARAGRAPH_GAP = 1.3
# Letters that differ more than this in size belong to different paragraphs.
_OTHER_SIZE = 1.15

# PDFium marks a hyphen that ends a line with one of these.
HYPHEN_MARKS = frozenset("\x02\ufffe")
HYPHEN_MARK = re.compile("[\x02\ufffe]")
_LEADERS = re.compile(r"(?:[ \u00a0]\.){3,}[ \u00a0]*|\.{5,}[ \u00a0]*")
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
# Bullets of fonts that don't say which character they draw.
_BULLET = re.compile(r"^\s*[\x80-\x9f\uf06e\uf0a7\uf0b7\uf0d8](?=\s)\s*")
_CONTROL = re.compile(r"[\x00\x01\x03-\x08\x0b-\x1f\x7f-\x9f]")
# Without one of these there is nothing to clean.
_UNCLEAN = re.compile(
    "[\x00\x01\x03-\x08\x0b-\x1f\x7f-\xa0\ufb00-\ufb06\uf06e\uf0a7\uf0b7\uf0d8]|[ .]\\.[ .]"
)
_COMPOUND = re.compile(r"\w+(?:-\w+)*")
_FIRST_PART = re.compile(r"\w+")
_LONGEST_WORD = 80
_PIECE = 1 << 18
_CONJUNCTIONS = frozenset({"und", "oder", "bzw", "sowie", "and", "or"})
_ENDS_PARAGRAPH = tuple('.!?:…”“"»)')


class Line(NamedTuple):
    """One line of a page and, in points from the page's lower edge, where it stands.

    bottom, left and size belong to its first character; last_bottom and right to its last, since a
    line that goes on after a hyphen reaches down to the next one. columns: of a row of a table (a
    line of Markdown), where its columns end.
    """

    text: str
    bottom: float
    last_bottom: float
    size: float
    left: float = 0.0
    right: float = 0.0
    columns: tuple[int, ...] = ()

    @property
    def top(self) -> float:
        return self.bottom + self.size


Page = Sequence[Line]


@dataclass(frozen=True)
class Flow:
    """The text of all pages; where each page starts in it, and each line of each page."""

    text: str
    pages: list[int]
    lines: list[list[int]]


def flow(pages: Sequence[Page]) -> Flow:
    """Join the lines of all pages into one text.

    A larger gap between lines becomes a blank line; a word that a hyphen divides at the end of a
    line or page becomes whole; rows of dots become "…".
    """
    usual = _usual_gap([gap for page in pages for gap in _gaps(page)], 0.0)
    parts: list[str] = []
    length = 0
    page_starts: list[int] = []
    line_starts: list[list[int]] = []
    last: Line | None = None
    head: Line | None = None
    for page in pages:
        typical = _usual_gap(list(_gaps(page)), usual)
        page_starts.append(length)
        line_starts.append([])
        for number, line in enumerate(page):
            text = _clean(line.text)
            goes_on = _goes_on(head, last, line)
            between = "\n" if goes_on else _between(last, line, typical, new_page=number == 0)
            if line.columns and not goes_on:
                head = line
                text += f"\n{tables.rule(len(line.columns) - 1)}"
            if number == 0:
                page_starts[-1] = length + len(between)
            line_starts[-1].append(length + len(between))
            parts += (between, text)
            length += len(between) + len(text)
            last = line
    return _without_hyphens(Flow("".join(parts), page_starts, line_starts))


def _clean(text: str) -> str:
    # Of most lines this says at once that there is nothing to do.
    if text.isascii() and text.isprintable() and ".." not in text and " . " not in text:
        return text.rstrip()
    if not _UNCLEAN.search(text) and unicodedata.is_normalized("NFC", text):
        return text.rstrip()
    text = _BULLET.sub("• ", text)
    text = unicodedata.normalize("NFC", _CONTROL.sub("", text.translate(_LIGATURES)))
    return _LEADERS.sub(" … ", text).replace("\u00a0", " ").rstrip()


def _gaps(page: Page) -> Iterator[float]:
    for above, below in itertools.pairwise(page):
        if above.columns or below.columns:
            continue
        gap = above.last_bottom - below.bottom
        if 0.5 * below.size < gap < 3 * below.size:
            yield gap


def _usual_gap(gaps: list[float], otherwise: float) -> float:
    return median_low(gaps) if len(gaps) >= 5 or (gaps and not otherwise) else otherwise


def _goes_on(head: Line | None, above: Line | None, below: Line) -> bool:
    """Whether a line is another row of the same table, also on the next page."""
    if (
        head is None
        or above is None
        or not above.columns
        or len(above.columns) != len(below.columns)
    ):
        return False
    same = all(abs(one - two) <= 3 for one, two in zip(above.columns, below.columns, strict=True))
    return same and below.text != head.text


def _between(above: Line | None, below: Line, typical: float, new_page: bool) -> str:
    if above is None:
        return ""
    if above.columns or below.columns:
        return "\n\n"
    end, begin = above.text.rstrip()[-1:], below.text.lstrip()[:1]
    if end in HYPHEN_MARKS and begin.isalpha():
        return ""
    gap = above.last_bottom - below.bottom
    # On a new page or in a new column the gap says nothing; the words must.
    if new_page or gap < -below.size:
        return "\n\n" if end.endswith(_ENDS_PARAGRAPH) and not begin.islower() else "\n"
    if gap > 0.5 * below.size and not 1 / _OTHER_SIZE < above.size / below.size < _OTHER_SIZE:
        return "\n\n"
    # The lines of a heading are further apart than those of the text, and still belong together.
    near = max(typical, below.size) if abs(above.size - below.size) < 1 else typical
    return "\n\n" if typical and gap > _PARAGRAPH_GAP * near else "\n"


def _without_hyphens(marked: Flow) -> Flow:
    """Resolve the hyphen marks, by the words that the document itself uses elsewhere."""
    text = marked.text
    if not HYPHEN_MARK.search(text):
        return marked
    marks = list(HYPHEN_MARK.finditer(text))
    halves = [_halves(text, mark) for mark in marks]
    known = _known(text, {word for pair in halves for word in _whole(*pair)})
    parts: list[str] = []
    ends: list[int] = []  # where each mark ends in the marked text
    shifts = [0]  # by how much what follows has moved
    done = 0
    for match, (before, after) in zip(marks, halves, strict=True):
        instead = _hyphen(before, after, known)
        parts += (text[done : match.start()], instead)
        done = match.end()
        ends.append(done)
        shifts.append(shifts[-1] + len(instead) - 1)
    parts.append(text[done:])

    def moved(offsets: Iterable[int]) -> list[int]:
        return [offset + shifts[bisect_left(ends, offset + 1)] for offset in offsets]

    return Flow("".join(parts), moved(marked.pages), [moved(lines) for lines in marked.lines])


def _halves(text: str, mark: re.Match[str]) -> tuple[str, str]:
    """What stands before and after a mark, as far as it could belong to one word."""
    backwards = text[max(0, mark.start() - _LONGEST_WORD) : mark.start()][::-1]
    before = _COMPOUND.match(backwards)
    after = _FIRST_PART.match(text, mark.end())
    return before[0][::-1] if before else "", after[0] if after else ""


def _whole(before: str, after: str) -> tuple[str, str]:
    """The words that two halves may make, without and with the hyphen, in small letters."""
    last = before.rpartition("-")[2]
    return f"{last}{after}".casefold(), f"{before}-{after}".casefold()


def _known(text: str, words: set[str]) -> set[str]:
    """Those of the words that stand in the text."""
    found: set[str] = set()
    start = 0
    while start < len(text):
        # A piece at a time: all words of a thick book would fill the memory.
        end = text.find("\n", start + _PIECE)
        end = len(text) if end < 0 else end
        different = set(text[start:end].casefold().split())
        found |= words.intersection(_COMPOUND.findall(" ".join(different)))
        start = end
    return found


def _hyphen(before: str, after: str, known: set[str]) -> str:
    """What stands for the mark between two parts of a word: nothing, "-" or "- "."""
    if not before or not after:
        return "-"
    if after.casefold() in _CONJUNCTIONS:
        return "- "
    joined, hyphened = _whole(before, after)
    if hyphened in known and joined not in known:
        return "-"
    if joined in known:
        return ""
    # "Debian-System", "UTF-8": a capital or a digit begins no second half of a divided word.
    divided = after[0].islower() and before[-1].isalpha()
    return "" if divided else "-"
