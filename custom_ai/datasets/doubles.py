"""Pairs that say what another said before, found among thousands."""

import math
import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from custom_ai.datasets.checks import Pair
from custom_ai.datasets.quotes import normal
from custom_ai.documents.language import STOP_WORDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Questions, and answers, that share this much are the same.
SAME = 0.6
# Answers to questions that are alike, which share this much, tell each other.
_LEAKING = 0.4

# Pieces are looked up by so many numbers, and so many of the rarest must be shared.
_BUCKETS = 2**16
_SHARED = 8

# Odd numbers drawn by chance, one for each letter of a piece.
_FACTORS = (
    0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB,
    0xA0761D6478BD642F,
)  # fmt: skip

_WORD = re.compile(r"\w+")


class Double(NamedTuple):
    """What a pair has in common with an earlier one, the id of which is `of`.

    same: question and answer. near: almost. contradicts: the same question got another answer.
    leaks: the question is known in another split, where it would be answered before the exam.
    """

    found: Literal["same", "near", "contradicts", "leaks"]
    of: str


class _Met(NamedTuple):
    question: str
    pieces: "array[int]"
    answer: str
    id: str
    model: str
    split: str


class Doubles:
    """The pairs met so far, to find those that say the same again.

    Compares the five-letter pieces that two texts share with all the pieces they have (Jaccard);
    same: the share from which on they are alike. Within a model pairs are doubles, between splits
    they are leaks, whoever wrote them. Pieces are kept as numbers in arrays: of 50 000 pairs they
    need some 50 MB.
    """

    def __init__(self, same: float = SAME) -> None:
        import numpy  # noqa: F401  # here, where nobody waits for an answer

        self._same = same
        self._pairs: list[_Met] = []
        self._with_piece: defaultdict[int, array[int]] = defaultdict(partial(array, "I"))
        # How many pieces each pair has.
        self._sizes = array("I")

    def look(self, pair: Pair, model: str = "", split: str = "") -> Double | None:
        """What the pair has in common with one that was met; None where it is new."""
        question = normal(pair.instruction)
        pieces = _pieces(question)
        found: Double | None = None
        for index in self._candidates(pieces):
            other = self._pairs[index]
            if _jaccard(pieces, other.pieces) < self._same:
                continue
            answers = _pieces(normal(pair.output)), _pieces(normal(other.answer))
            alike = _jaccard(*answers)
            if other.model == model and other.question == question and alike >= self._same:
                return Double("same", other.id)
            if other.split != split and (alike >= _LEAKING or _mean_the_same(question, other)):
                found = found or Double("leaks", other.id)
            elif other.model == model and other.question == question:
                found = found or Double("contradicts", other.id)
            elif other.model == model and alike >= self._same:
                found = Double("near", other.id)
        return found

    def _candidates(self, pieces: frozenset[int]) -> list[int]:
        """The pairs whose question may be alike, in their order: all that share enough of the
        rarest pieces.

        A question that is alike has at least `same` of the pieces, so it lacks at most `missing`.
        """
        places = _places(pieces)
        lists = sorted(filter(None, map(self._with_piece.get, places)), key=len)
        missing = len(pieces) - math.ceil(self._same * len(pieces))
        # Of any `missing + shared` places a question that is alike has `shared` at the least.
        shared = max(1, min(_SHARED, len(places) - missing))
        # Those that no pair has are the rarest of all.
        del lists[max(0, missing + shared - (len(places) - len(lists))) :]
        if len(lists) < shared:
            return []
        met = _counts(lists)
        likely = (met >= shared).nonzero()[0]
        # What was not looked at may be shared, all of it; if even that is too little, it is not
        # alike. Two sets with the Jaccard index s share s / (1 + s) of what they have in all.
        looked = min(len(places), missing + shared)
        unseen, part = len(pieces) - looked, self._same / (1 + self._same)
        sizes = _numbers(self._sizes)[likely]
        enough = met[likely] + unseen + 1 > part * (len(pieces) + sizes)
        found: list[int] = likely[enough].tolist()
        return found

    def add(self, pair: Pair, id_: str = "", model: str = "", split: str = "") -> None:
        """Remember a pair."""
        question = normal(pair.instruction)
        pieces = _pieces(question)
        index, places = len(self._pairs), _places(pieces)
        for found in map(self._with_piece.__getitem__, places):
            found.append(index)
        self._sizes.append(len(pieces))
        self._pairs.append(_Met(question, array("I", pieces), pair.output, id_, model, split))


def _mean_the_same(question: str, other: _Met) -> bool:
    """Whether two questions that are alike ask for the same: "port 80" and "port 443" do not."""
    return (
        set(_WORD.findall(question)) - STOP_WORDS == set(_WORD.findall(other.question)) - STOP_WORDS
    )


def _counts(lists: "Sequence[array[int]]") -> "NDArray[np.int64]":
    """How many of the lists hold the number 0, 1, 2 …"""
    import numpy as np

    # A hundred times as fast as counting in Python, and it hardly grows with the lists.
    return np.bincount(_numbers(b"".join(lists)))


def _numbers(array_: "bytes | array[int]") -> "NDArray[np.uintc]":
    import numpy as np

    return np.frombuffer(array_, np.uintc)


@lru_cache(maxsize=16)
def _places(pieces: frozenset[int]) -> frozenset[int]:
    """Where the pieces are looked up."""
    return frozenset([piece % _BUCKETS for piece in pieces])


@lru_cache(maxsize=16)
def _pieces(text: str) -> frozenset[int]:
    """The five-letter pieces of a text, as numbers of 32 bits."""
    import numpy as np

    letters = np.frombuffer(text.ljust(5, "\0").encode("utf-32-le"), "<u4").astype(np.uint64)
    # Multiply-shift: two pieces get the same number as seldom as by chance, on every machine.
    numbers = np.correlate(letters, np.array(_FACTORS, np.uint64), "valid") >> np.uint64(32)
    return frozenset(numbers.tolist())


def _jaccard(one: frozenset[int], other: Collection[int]) -> float:
    common = len(one.intersection(other))
    return common / (len(one) + len(other) - common)
