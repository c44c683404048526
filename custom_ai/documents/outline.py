"""The headings of a printed document: from its bookmarks, else from the size of its letters."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from custom_ai.documents.layout import Flow, Line, Page
from custom_ai.documents.reader import Heading

_NUMBERING = re.compile(
    r"^\s*(?:(?:chapter|part|section|appendix|kapitel|teil|abschnitt|anhang)\s+)?"
    r"(?:\d+(?:\.\d+)*|[A-Z](?:\.\d+)*|[IVXLC]+)[.:)]?(?=\s)\s*",
    re.IGNORECASE,
)
_ONLY_NUMBERING = re.compile(
    r"^\s*(?:chapter|part|section|appendix|kapitel|teil|abschnitt|anhang)\s+\w{1,6}[.:]?\s*$",
    re.IGNORECASE,
)
_SIGNS = re.compile(r"[\W_]+")
# The same for ASCII, and in small letters: five times as fast.
_PLAIN = {code: chr(code).lower() if chr(code).isalnum() else None for code in range(128)}
_MOST_LINES = 4
# Letters this much larger than those of the text make a heading.
_LARGER = 1.15
_LONGEST_TITLE = 100
_LEVELS = 4
# Where more lines than this look like headings, size says nothing about headings.
_MOST_HEADINGS = 0.25
_CONTENTS_LINE = re.compile(r"(?:\s?\.){3,}|\s\d+$")


@dataclass(frozen=True)
class Bookmark:
    """An entry of the outline and where it points to; `top` is in points from the lower edge."""

    title: str
    level: int
    page: int
    top: float | None


def locate(bookmarks: Sequence[Bookmark], pages: Sequence[Page], flow: Flow) -> list[Heading]:
    """Each bookmark as a heading: at the line that says its title, else where it points to."""
    found = []
    floor = 0
    sayings: dict[int, _Sayings] = {}
    for bookmark in bookmarks:
        title = re.sub(r"\s+", " ", bookmark.title.replace("\0", "")).strip()
        if not title or not 0 <= bookmark.page < len(pages):
            continue
        if bookmark.page not in sayings:
            sayings[bookmark.page] = _Sayings(pages[bookmark.page])
        offset = _offset(bookmark, title, sayings[bookmark.page], flow, floor)
        found.append(Heading(offset, bookmark.level + 1, title))
        floor = max(floor, offset + 1)
    # The sort keeps the outline's order where two entries point to the same place.
    return sorted(found, key=lambda heading: heading.offset)


def _offset(bookmark: Bookmark, title: str, sayings: "_Sayings", flow: Flow, floor: int) -> int:
    starts, page = flow.lines[bookmark.page], sayings.page
    if not page:
        return flow.pages[bookmark.page]
    matches = sayings.places_of({_plain(title), _plain(_NUMBERING.sub("", title))} - {""})
    if bookmark.top is not None:
        top = bookmark.top
        number = min(
            matches or range(len(page)),
            key=lambda n: (abs(top - page[n].top), starts[n] < floor),
        )
    else:
        places = matches or list(range(len(page)))
        number = next((n for n in places if starts[n] >= floor), places[0])
    if number and number in matches and _ONLY_NUMBERING.match(page[number - 1].text):
        number -= 1
    return starts[number]


class _Sayings:
    """The titles that a line of a page, or it and the next ones, may be: numbered and not."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._plain = [_plain(line.text) for line in page]
        # What a line begins with behind its numbering. A numbering may be all there is in it.
        numberings = [_NUMBERING.match(f" {line.text} ") for line in page]
        self._begins = [
            (plain, _plain(line.text[max(0, numbering.end() - 1) :])) if numbering else (plain,)
            for line, numbering, plain in zip(page, numberings, self._plain, strict=True)
        ]

    def places_of(self, titles: set[str]) -> list[int]:
        """The numbers of the lines with which one of the titles begins."""
        numbers = {n for t in titles for n, b in enumerate(self._begins) if t.startswith(b)}
        return [n for n in sorted(numbers) if not titles.isdisjoint(self._from(n))]

    def _from(self, number: int) -> Iterator[str]:
        joined = together = ""
        for place in range(number, min(number + _MOST_LINES, len(self.page))):
            joined = f"{joined} {self.page[place].text}"
            together += self._plain[place]
            yield together
            if numbering := _NUMBERING.match(joined):
                yield _plain(joined[numbering.end() :])


def _plain(text: str) -> str:
    return text.translate(_PLAIN) if text.isascii() else _SIGNS.sub("", text).casefold()


def by_size(pages: Sequence[Page], flow: Flow) -> list[Heading]:
    """The lines in larger letters as headings; the larger, the higher. For files without outline.

    None where the sizes tell nothing. Lines of a table of contents don't count.
    """
    characters: Counter[float] = Counter()
    for page in pages:
        for line in page:
            characters[_step(line.size)] += len(line.text)
    usual = characters.most_common(1)[0][0] if characters else 0.0
    found = [
        (flow.lines[index][number], size, title)
        for index, page in enumerate(pages)
        for number, size, title in _large_lines(page, _LARGER * usual)
    ]
    if len(found) > _MOST_HEADINGS * sum(map(len, pages)):
        return []
    levels = _levels({size for _, size, _ in found})
    return [Heading(offset, levels[size], title) for offset, size, title in found]


def _large_lines(page: Page, limit: float) -> Iterator[tuple[int, float, str]]:
    """Number of the line, size and words of each heading; one may have several lines."""
    number = 0
    while number < len(page):
        first, size = number, _step(page[number].size)
        words = [page[first].text.strip()]
        number += 1
        while number < len(page) and _goes_on(page[number - 1], page[number]):
            words.append(page[number].text.strip())
            number += 1
        title = " ".join(words)
        if (
            page[first].columns
            or size < limit
            or len(title) > _LONGEST_TITLE
            or not re.search(r"[^\W\d_]{2}", title)
        ):
            continue
        if not _CONTENTS_LINE.search(title):
            yield first, size, title


def _goes_on(above: Line, below: Line) -> bool:
    gap = above.last_bottom - below.bottom
    return abs(above.size - below.size) <= 1 and 0 < gap < 1.6 * below.size


def _levels(sizes: set[float]) -> dict[float, int]:
    """The level of each size; sizes that hardly differ are one."""
    levels: dict[float, int] = {}
    level, last = 0, float("inf")
    for size in sorted(sizes, reverse=True):
        if last - size > 1:
            level, last = min(level + 1, _LEVELS), size
        levels[size] = level
    return levels


def _step(size: float) -> float:
    return round(size * 2) / 2
