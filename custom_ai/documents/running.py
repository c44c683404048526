"""Running headers and footers: what stands at the edge of page after page is no text of any."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from custom_ai.documents.layout import Line, Page

# What stands at the edge of this share of the pages is a running header or footer.
RUNNING_SHARE = 0.6
_EDGE_LINES = 3
_LONGEST_RUNNING_LINE = 120
# Titles of chapters are missing where one begins.
_NEARBY_SHARE = 0.4
_ALIKE_LETTERS = 8
_FEWEST_ALIKE = 4
# How far, in its own height, such a line is from the text.
_APART = 1.6

_NUMBER = re.compile(r"\b(?:\d+|[ivxlc]+)\b", re.IGNORECASE)
_FIRST_NUMBER = re.compile(r"\W*(\d+|[ivxlc]+)\b", re.IGNORECASE)
_LAST_NUMBER = re.compile(r"\b(\d+|[ivxlc]+)(?:\s?/\s?\d+)?\W*$", re.IGNORECASE)


def without_running_lines(pages: Sequence[Page]) -> list[list[Line]]:
    """Remove headers, footers and page numbers: what stands at the edge of most pages.

    A line goes when its words, numbers apart, stand at the same edge of at least 60 % of the
    pages (or of the left or the right ones), when it begins or ends in a number that counts the
    pages, at a place where such numbers stand, or when it's the outermost one and nearly that of
    the pages around it, as the titles of chapters are. At least three pages must agree.
    """
    edges = [{top: _edge(page, top) for top in (True, False)} for page in pages]
    repeated = _repeated(pages, edges)
    counting = _counting(pages, edges)
    alike = _alike_nearby(pages, edges)
    kept = []
    for index, page in enumerate(pages):
        gone: set[int] = set()
        for top, numbers in edges[index].items():
            # From the outside inwards: behind a line that stays, everything stays.
            for number in numbers:
                line = page[number]
                known = _key(line, top, index) in repeated or (index, number) in alike
                if not known and not counting.holds(line, index):
                    break
                gone.add(number)
        kept.append([line for number, line in enumerate(page) if number not in gone])
    return kept


def _edge(page: Page, top: bool) -> list[int]:
    """The outermost lines, the very outermost first."""
    order = sorted(range(len(page)), key=lambda n: page[n].bottom, reverse=top)
    return order[:_EDGE_LINES]


Key = tuple[bool, int, str]


def _key(line: Line, top: bool, index: int) -> Key:
    return top, index % 2, _NUMBER.sub("#", line.text).strip()


def _repeated(pages: Sequence[Page], edges: Sequence[dict[bool, list[int]]]) -> set[Key]:
    """Which words stand at which edge of the left or right pages often enough."""
    seen: Counter[Key] = Counter()
    with_text: Counter[int] = Counter(index % 2 for index, page in enumerate(pages) if page)
    for index, page in enumerate(pages):
        seen.update(
            {
                _key(page[number], top, index)
                for top, numbers in edges[index].items()
                for number in numbers
            }
        )
    found = set()
    for top, side, words in seen:
        here, there = seen[top, side, words], seen[top, 1 - side, words]
        on_one_side = here >= max(3, RUNNING_SHARE * with_text[side])
        on_both = here + there >= max(3, RUNNING_SHARE * with_text.total())
        if on_one_side or on_both:
            found.add((top, side, words))
    return found


def _alike_nearby(
    pages: Sequence[Page], edges: Sequence[dict[bool, list[int]]]
) -> set[tuple[int, int]]:
    """Page and number of the outermost lines that name chapter or section: they change, slowly.

    They stand at one height on many pages, and most of them are like the one on a page near by.
    """
    places: defaultdict[tuple[bool, int], dict[int, int]] = defaultdict(dict)
    for index, edge in enumerate(edges):
        for top, numbers in edge.items():
            if _stands_apart(pages[index], numbers):
                places[top, round(pages[index][numbers[0]].bottom)][index] = numbers[0]
    with_text = sum(map(bool, pages))
    found: set[tuple[int, int]] = set()
    for on in places.values():
        if len(on) < max(_FEWEST_ALIKE, _NEARBY_SHARE * with_text):
            continue
        words = {n: _NUMBER.sub("#", pages[n][number].text).strip() for n, number in on.items()}
        agreeing = [
            index
            for index in on
            if any(_alike(words[index], words.get(index + by, "")) for by in (-2, -1, 1, 2))
        ]
        if len(agreeing) < max(_FEWEST_ALIKE, RUNNING_SHARE * len(on)):
            continue
        # "Chapter 3": a section of one page is like none of its neighbours.
        begins = Counter(words[index].split(" ")[0] for index in agreeing)
        found.update(
            (index, number)
            for index, number in on.items()
            if index in agreeing or begins[words[index].split(" ")[0]] >= _FEWEST_ALIKE
        )
    return found


def _stands_apart(page: Page, numbers: Sequence[int]) -> bool:
    """Whether the outermost line is short, and further from the next than lines of a text are."""
    if len(numbers) < 2:
        return False
    line, following = page[numbers[0]], page[numbers[1]]
    gap = abs(line.bottom - following.bottom)
    return len(line.text) <= _LONGEST_RUNNING_LINE and gap > _APART * line.size


def _alike(one: str, other: str) -> bool:
    """Whether two lines begin or end with the same words, for the better part of them."""
    shorter = min(len(one), len(other))
    same = max(_common(one, other), _common(one[::-1], other[::-1]))
    return same >= max(_ALIKE_LETTERS, 0.5 * shorter)


def _common(one: str, other: str) -> int:
    """How many letters two texts have in common before they part."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


# Roman numerals or not, and by how much the number differs from the page's index.
Numbering = tuple[bool, int]


@dataclass(frozen=True)
class _Counting:
    """The numberings of the pages that are in use, and the heights at which they stand."""

    places: set[tuple[Numbering, int]]

    def holds(self, line: Line, index: int) -> bool:
        """Whether a line is, or carries, the number of its page."""
        # The first page of a chapter has its number elsewhere, but then by itself.
        alone = not _NUMBER.sub("", line.text).strip(" -–—·|")
        return any(
            (numbering, round(line.bottom)) in self.places
            or (alone and any(numbering == known for known, _ in self.places))
            for numbering in _numberings(line, index)
        )


def _counting(pages: Sequence[Page], edges: Sequence[dict[bool, list[int]]]) -> _Counting:
    where: defaultdict[tuple[Numbering, int], set[int]] = defaultdict(set)
    for index, page in enumerate(pages):
        for number in {n for numbers in edges[index].values() for n in numbers}:
            line = page[number]
            for numbering in _numberings(line, index):
                where[numbering, round(line.bottom)].add(index)
    # Front matter is numbered by itself, so a numbering must be dense only where it holds.
    return _Counting(
        {
            found
            for found, on in where.items()
            if len(on) >= max(3, RUNNING_SHARE * (max(on) - min(on) + 1))
        }
    )


def _numberings(line: Line, index: int) -> Iterator[Numbering]:
    if len(line.text) <= _LONGEST_RUNNING_LINE:
        for match in (_FIRST_NUMBER.match(line.text), _LAST_NUMBER.search(line.text)):
            if match and len(match[1]) < 9:
                digits = match[1].isdecimal()
                yield not digits, (int(match[1]) if digits else _roman(match[1])) - index


def _roman(numeral: str) -> int:
    values = [{"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}[letter] for letter in numeral.lower()]
    after = [*values[1:], 0]
    return sum(-v if v < n else v for v, n in zip(values, after, strict=True))
