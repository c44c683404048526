"""Pairs that say what another said before, found among thousands."""

import math
import zlib
from array import array
from collections import Counter
from collections.abc import Collection
from functools import lru_cache

from custom_ai.datasets.checks import Pair, normal

# Questions, and answers, that share this much are the same.
SAME = 0.6

# Pieces are looked up by so many numbers, and so many of the rarest must be shared.
_BUCKETS = 2**16
_SHARED = 8


class Doubles:
    """The pairs met so far, to find those that say the same again.

    Compares the five-letter pieces that two texts share with all the pieces they have (Jaccard).
    Pieces are kept as numbers in arrays: of 10 000 pairs they need some 10 MB.
    """

    def __init__(self) -> None:
        self._pairs: list[tuple[str, array[int], str]] = []
        self._with_piece: dict[int, array[int]] = {}
        self._frequency = array("I", bytes(4 * _BUCKETS))

    def look(self, pair: Pair) -> str:
        """Whether the pair was met ("same"), or almost ("near"), or its question got another
        answer ("contradicts"); "" for none of it."""
        question = normal(pair.instruction)
        pieces = _pieces(question)
        found = ""
        for index in self._candidates(pieces):
            other, other_pieces, other_answer = self._pairs[index]
            if _jaccard(pieces, other_pieces) < SAME:
                continue
            alike = _jaccard(_pieces(normal(pair.output)), _pieces(normal(other_answer)))
            if other == question:
                if alike >= SAME:
                    return "same"
                found = found or "contradicts"
            elif alike >= SAME:
                found = "near"
        return found

    def _candidates(self, pieces: frozenset[int]) -> list[int]:
        """The pairs whose question may be alike, in their order: all that share enough of the
        rarest pieces.

        A question that is alike has at least SAME of the pieces, so it lacks at most `missing`.
        """
        places = sorted({piece % _BUCKETS for piece in pieces}, key=self._frequency.__getitem__)
        missing = len(pieces) - math.ceil(SAME * len(pieces))
        # Of any `missing + shared` places a question that is alike has `shared` at the least.
        shared = max(1, min(_SHARED, len(places) - missing))
        met: Counter[int] = Counter()
        for place in places[: missing + shared]:
            met.update(self._with_piece.get(place, ()))
        return sorted(index for index, count in met.items() if count >= shared)

    def add(self, pair: Pair) -> None:
        """Remember a pair."""
        question = normal(pair.instruction)
        pieces = _pieces(question)
        for bucket in {piece % _BUCKETS for piece in pieces}:
            self._with_piece.setdefault(bucket, array("I")).append(len(self._pairs))
            self._frequency[bucket] += 1
        self._pairs.append((question, array("I", pieces), pair.output))


@lru_cache(maxsize=16)
def _pieces(text: str) -> frozenset[int]:
    """The five-letter pieces of a text, as numbers."""
    letters = text.encode("utf-32-le")
    last = max(1, len(text) - 4)
    return frozenset(map(zlib.crc32, [letters[i : i + 20] for i in range(0, 4 * last, 4)]))


def _jaccard(one: frozenset[int], other: Collection[int]) -> float:
    common = len(one.intersection(other))
    return common / (len(one) + len(other) - common)
