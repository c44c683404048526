"""Orders to a language model that somebody hid in a document.

A model that obeys them writes samples that teach them on. So a passage that holds one is not asked
about unseen: its samples wait until a person has looked. The rules judge how a text speaks, not
what of: a manual may speak of prompts, models and HTML.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from custom_ai.datasets import disguise
from custom_ai.datasets.injection_rules import TRIGGERS, phrases, speaks_of_machines
from custom_ai.datasets.needles import Needles
from custom_ai.documents import unseen
from custom_ai.documents.reader import Span

# So much of what was found is shown.
SHOWN = 80
# A rule looks so many characters to both sides of its words.
REACH = 180

_ENCODED = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{24,}={0,2}")
_ENCODED_FROM = 24
_READABLE = re.compile(r"[A-Za-zÀ-ÿ ,.:;!?'\"()-]")


@dataclass(frozen=True)
class Suspicion:
    """A place that looks like an order. reason: its kind, a key of the texts; the characters
    [start, end) of the text that was scanned; words: what stands there, as a person may see it."""

    reason: str
    start: int
    end: int
    words: str


@lru_cache(maxsize=64)
def scan(text: str) -> tuple[Suspicion, ...]:
    """What in a text looks like an order to a language model, in its order; mostly nothing."""
    found = [*_invisible(text), *_encoded(text)]
    for plain in disguise.undone(text):
        found += _spoken(plain)
    return tuple(sorted(_apart(found), key=lambda one: one.start))


def in_passage(
    source: str, start: int, end: int, hidden: Sequence[Span] = ()
) -> tuple[Suspicion, ...]:
    """What of source[start:end] belongs to such an order, also to one that goes on beyond it; then
    what of it people don't see who look at the document (hidden: where it has such text).

    The places count characters of `source`.
    """
    first = max(0, start - REACH)
    found = (
        replace(s, start=s.start + first, end=s.end + first)
        for s in scan(source[first : end + REACH])
    )
    orders = (one for one in found if one.start < end and start < one.end)
    unseen_text = (
        Suspicion("unseen", first, last, " ".join(source[first:last].split())[:SHOWN])
        for first, last in unseen.within(source, hidden, start, end)
    )
    return (*orders, *unseen_text)


def _spoken(plain: disguise.Plain) -> Iterator[Suspicion]:
    """Orders in words."""
    lower = plain.text.lower()
    # Most texts hold none of a rule's words, or few, which is found out much sooner.
    held = _needles().held(lower)
    for name, words in TRIGGERS.items():
        for start, end in _around(lower, [word for word in words if word in held]):
            if name == "addressed" and not speaks_of_machines(lower[start:end]):
                continue
            for pattern in phrases(name):
                for match in pattern.finditer(plain.text, start, end):
                    yield _at(name.partition(".")[0], plain, match.start(), match.end())


def prepare() -> None:
    """Get all rules ready, a third of a second before the first text is scanned with them."""
    for name in TRIGGERS:
        phrases(name)
    _needles()


@cache
def _needles() -> Needles:
    return Needles(word for words in TRIGGERS.values() for word in words)


def _around(lower: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """The stretches of a text that lie around any of these words."""
    places = []
    for word in words:
        at = lower.find(word)
        while at >= 0:
            places.append(at)
            at = lower.find(word, at + REACH)
    stretches: list[tuple[int, int]] = []
    for at in sorted(places):
        start, end = max(0, at - REACH), at + REACH
        if stretches and start <= stretches[-1][1]:
            start = stretches.pop()[0]
        stretches.append((start, end))
    return stretches


def _invisible(text: str) -> Iterator[Suspicion]:
    """Characters that nobody sees and a model reads all the same."""
    if not disguise.has_unseen(text):
        return
    for reason, pattern in disguise.INVISIBLE.items():
        if reason == "direction" and disguise.RIGHT_TO_LEFT.search(text):
            continue
        if match := pattern.search(text):
            said = disguise.tags_as_letters(match[0]) or ascii(match[0])[1:-1]
            yield Suspicion(reason, match.start(), match.end(), said[:SHOWN])


def _encoded(text: str) -> Iterator[Suspicion]:
    """Prose that was written as base64 or as hexadecimal numbers."""
    if max(map(len, text.split()), default=0) < _ENCODED_FROM:
        return
    for match in _ENCODED.finditer(text):
        if said := _decoded(match[0]):
            yield Suspicion("encoded", match.start(), match.end(), said[:SHOWN])


def _decoded(letters: str) -> str:
    """The prose behind it, or nothing where it stands for something else."""
    for decode in (_from_hex, _from_base64):
        try:
            said = decode(letters).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            continue
        readable = sum(bool(_READABLE.match(letter)) for letter in said)
        if said.count(" ") >= 2 and readable > 0.9 * len(said):
            return said
    return ""


def _from_hex(letters: str) -> bytes:
    return bytes.fromhex(letters)


def _from_base64(letters: str) -> bytes:
    whole = letters.rstrip("=")
    return base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True)


def _at(reason: str, plain: disguise.Plain, start: int, end: int) -> Suspicion:
    words = " ".join(plain.text[start:end].split())
    return Suspicion(reason, plain.place(start), plain.place(end - 1) + 1, words[:SHOWN])


def _apart(found: list[Suspicion]) -> list[Suspicion]:
    """Each place once, with the reason that covers most of it."""
    kept: list[Suspicion] = []
    for one in sorted(found, key=lambda one: one.start - one.end):
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    return kept
