"""Whether the words that a model quotes stand in a text, and where."""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_WORD = re.compile(r"\S+")
_QUOTES = dict(zip("„“”«»‟‚‘’`´–—‑", '""""""\'\'\'\'\'---', strict=True))
# A word divided at the end of a line, and hyphens that show only there.
_BROKEN_WORD = re.compile(r"(?<=\w)[-\u00ad][^\S\n]*\n\s*(?=[a-zäöüß])|\u00ad")
# Words that agree about the beginning of a quote, to so many letters, vote for it; with fewer than
# this share of them it is not compared letter by letter, which takes long.
_STEP = 32
_SLIP = 8
_WORTH = 0.4


class Place(NamedTuple):
    """Where a quote stands: the characters [start, end) of the text, and how much of it is there
    (1.0: letter by letter). start is None where it is not there."""

    start: int | None
    end: int | None
    likeness: float


class _Folded(dict[int, str]):
    """What each character becomes in the normal form, found out when it is first met."""

    def __missing__(self, code: int) -> str:
        letter = _QUOTES.get(chr(code), chr(code))
        # Decomposed, because PDF files hold "ü" in both forms.
        self[code] = unicodedata.normalize("NFKD", letter).casefold()
        return self[code]


_FOLDED = _Folded()
_SHORT = 64
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


@lru_cache(maxsize=64)
def normal(text: str) -> str:
    """The text as it is compared: case, spaces and kinds of quotation marks don't count."""
    if "\u00ad" in text or ("-" in text and "\n" in text):
        text = _BROKEN_WORD.sub("", text)
    return folded(" ".join(text.split()))


def folded(text: str) -> str:
    """A text of single spaces, or a word, in its normal form."""
    # As text.translate(_FOLDED), which asks for every letter, in a tenth of the time. In the order
    # of their numbers no letter becomes one whose turn is still to come.
    text = text.replace("`", "'")
    if not text.isascii():
        if _is_western(text):
            # None of its letters belongs to another one, so all may be taken apart at once.
            plain = text.replace("«", '"').replace("»", '"').replace("´", "'")
            return unicodedata.normalize("NFKD", plain).casefold()
        if len(text) < _SHORT:
            return text.translate(_FOLDED).casefold()
        for letter in sorted(set(_NOT_ASCII.findall(text))):
            text = text.replace(letter, _FOLDED[ord(letter)])
    return text.casefold()


def _is_western(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def find_quote(quote: str, text: str, least: float = 0.9) -> Place:
    """Where a quote stands in a text: letter by letter, in another spelling, or, with at least
    this likeness, with slips."""
    wanted = normal(quote)
    # Most are there letter by letter, which is found much sooner.
    if wanted and (start := text.find(quote)) >= 0:
        return Place(start, start + len(quote), 1.0)
    if not wanted:
        return Place(None, None, 0.0)
    have = normal(text)
    if (at := have.find(wanted)) >= 0:
        return Place(_place(text, at), _place(text, at + len(wanted) - 1) + 1, 1.0)
    begin, end, likeness = _most_like(wanted, have)
    if likeness < least:
        return Place(None, None, likeness)
    return Place(_place(text, begin), _place(text, max(begin, end - 1)) + 1, likeness)


def _place(text: str, at: int) -> int:
    """The place in `text` that the character `at` of its normal form came from."""
    place = length = 0
    for word in _WORD.finditer(_BROKEN_WORD.sub("", text)):
        folded = len(word[0]) if word[0].isascii() else len(word[0].translate(_FOLDED))
        if at < length + folded:
            place = word.start() + _letter(word[0], at - length)
            break
        length += folded + 1
    for broken in _BROKEN_WORD.finditer(text):
        if broken.start() > place:
            break
        place += len(broken[0])
    return place


def _letter(word: str, at: int) -> int:
    """Which letter of a word became the character `at` of its folded form ("ß" becomes two)."""
    length = 0
    for number, letter in enumerate(word):
        length += len(letter.translate(_FOLDED))
        if at < length:
            return number
    return len(word)


def _most_like(wanted: str, have: str) -> tuple[int, int, float]:
    """The piece have[begin:end] that is most like `wanted`, and how like it is, from 0 to 1."""
    best = (0, 0, 0.0)
    for begin, end in _candidates(wanted, have):
        likeness = difflib.SequenceMatcher(None, have[begin:end], wanted, autojunk=False).ratio()
        best = max(best, (begin, end, likeness), key=lambda found: found[2])
    return best


def _candidates(wanted: str, have: str) -> list[tuple[int, int]]:
    """Where the quote would stand, by the places of its words; none where too few are there."""
    votes: dict[int, list[int]] = defaultdict(list)
    words = list(_WORD.finditer(wanted))
    for word in words:
        for at in _places(word[0], have):
            begin = at - word.start()
            # Near the edge of a stretch it counts for both.
            for stretch in {(begin - _SLIP) // _STEP, (begin + _SLIP) // _STEP}:
                votes[stretch].append(begin)
    most = sorted(votes.values(), key=len, reverse=True)[:3]
    # The first words that are there say where it begins, the last ones where it ends.
    return [
        (max(0, begins[0]), min(len(have), begins[-1] + len(wanted)))
        for begins in most
        if len(begins) >= _WORTH * len(words)
    ]


def _places(word: str, have: str) -> Iterator[int]:
    at = have.find(word)
    while at >= 0:
        yield at
        at = have.find(word, at + 1)
