"""Where in a chunk the found words stand, and the part of it that is worth showing."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from custom_ai.documents.vocabulary import folded, is_dense

Spans = list[tuple[int, int]]

# With accents that stand by themselves, as in texts from a Mac.
_WORD = re.compile("[^\\W_]+(?:[\u0300-\u036f]+[^\\W_]*)*")
# The part that is shown: about so many characters, and a little before the first found word.
_SHOWN = 240
_BEFORE = 40
_MARK = "…"

_folded = lru_cache(maxsize=50_000)(folded)


@dataclass(frozen=True)
class Snippet:
    """A part of a text, with "…" where it was cut; spans: where in it the found words stand."""

    text: str
    spans: Spans


def find(text: str, words: Collection[str]) -> Spans:
    """Where the words stand, whatever their case and accents; words: as `folded` makes them.

    In a script without spaces the places are those of the parts that were looked for.
    """
    dense = [word for word in words if is_dense(word)]
    spans = []
    for match in _WORD.finditer(text):
        if _folded(match[0]) in words:
            spans.append(match.span())
        elif dense:
            spans += _inside(match[0], match.start(), dense)
    return spans


def snippet(text: str, spans: Spans) -> Snippet:
    """The part of the text with most of the spans in it; its beginning where there are none."""
    if len(text) <= _SHOWN:
        return Snippet(text, spans)
    start = _word_start(text, max(0, _best(text, spans) - _BEFORE))
    end = _word_end(text, min(len(text), start + _SHOWN))
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    inner = inner.strip()
    end = start + len(inner)
    before, after = _MARK * (start > 0), _MARK * (end < len(text))
    shift = len(before) - start
    kept = [(a + shift, b + shift) for a, b in spans if start <= a and b <= end]
    return Snippet(f"{before}{inner}{after}", kept)


def _inside(word: str, start: int, parts: Collection[str]) -> Spans:
    """The places of the parts in one "word", none of them inside another."""
    spans: Spans = []
    lowered = word.lower()
    if len(lowered) != len(word):
        return spans
    pattern = "|".join(re.escape(part) for part in sorted(parts, key=len, reverse=True))
    return [(start + m.start(), start + m.end()) for m in re.finditer(pattern, lowered)]


def _best(text: str, spans: Spans) -> int:
    """Where the window begins that holds most different words, then most words."""
    best, most = 0, (0, 0)
    for number, (start, _) in enumerate(spans):
        inside = []
        for a, b in spans[number:]:
            if b > start + _SHOWN - _BEFORE:
                break
            inside.append(_folded(text[a:b]))
        count = len(set(inside)), len(inside)
        if count > most:
            best, most = start, count
    return best


def _word_start(text: str, place: int) -> int:
    """The beginning of the word at this place, unless it is far away."""
    space = max(text.rfind(" ", 0, place), text.rfind("\n", 0, place)) + 1
    return space if place - space < _BEFORE else place


def _word_end(text: str, place: int) -> int:
    found = re.compile(r"\s").search(text, place, place + _BEFORE)
    return found.start() if found else min(place, len(text))
