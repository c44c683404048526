"""Text of a document that a person who looks at it does not see, and a model reads all the same.

A reader puts marks around it while it makes the text; they are taken out again at the end, and what
is kept is where they stood. So nothing on the way needs to know of it.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace

from custom_ai.documents.reader import Parsed, Span

# No characters of any text: Unicode keeps them for the inner use of programs.
BEGIN, END = "\ufdd0", "\ufdd1"

_MARKS = re.compile(f"[{BEGIN}{END}]")
_BLANK = re.compile(r"\s*")
_AROUND = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)
# An order to a model has more letters; a stray sign that was left white has fewer.
_FEWEST_LETTERS = 12
# Who hides text in more places than this is known well enough.
_MOST_SPANS = 2000


def marked(text: str) -> str:
    """The text with marks around it; blank text as it is. Marks that it held itself are gone."""
    text = _MARKS.sub("", text)
    whole = _AROUND.fullmatch(text)
    if not whole or not whole[2]:
        return text
    return f"{whole[1]}{BEGIN}{whole[2]}{END}{whole[3]}"


def found(parsed: Parsed) -> Parsed:
    """What a reader made, without the marks; `hidden` says where they stood."""
    places = [match.start() for match in _MARKS.finditer(parsed.text)]
    if not places:
        return parsed
    text = _MARKS.sub("", parsed.text)

    def moved(offset: int) -> int:
        return offset - bisect_left(places, offset)

    return replace(
        parsed,
        text=text,
        pages=None if parsed.pages is None else [moved(page) for page in parsed.pages],
        headings=[
            h._replace(offset=moved(h.offset), title=_MARKS.sub("", h.title))
            for h in parsed.headings
        ],
        hidden=joined(text, _spans(parsed.text, places)),
    )


def _spans(text: str, places: Sequence[int]) -> Iterable[Span]:
    """What stands between the marks at these places, counted without them."""
    begin: int | None = None
    for number, place in enumerate(places):
        if text[place] == BEGIN:
            begin = place - number if begin is None else begin
        elif begin is not None:
            yield begin, place - number
            begin = None
    if begin is not None:
        yield begin, len(text) - len(places)


def joined(text: str, spans: Iterable[Span]) -> list[Span]:
    """The same stretches, in their order, those as one between which there are only blanks."""
    kept: list[Span] = []
    for start, end in spans:
        if kept and _BLANK.fullmatch(text, kept[-1][1], start):
            start = kept.pop()[0]
        kept.append((start, end))
    if len(kept) > _MOST_SPANS:
        kept[_MOST_SPANS:] = [(kept[_MOST_SPANS][0], kept[-1][1])]
    return kept


def within(text: str, hidden: Iterable[Span], start: int, end: int) -> list[Span]:
    """The hidden stretches that touch text[start:end]; none where they hold but a few letters."""
    touching = [span for span in hidden if span[0] < end and start < span[1]]
    letters = sum(sum(map(str.isalnum, text[a:b])) for a, b in touching)
    return touching if letters >= _FEWEST_LETTERS else []
