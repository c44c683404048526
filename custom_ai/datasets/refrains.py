"""Sentences that come back in answer after answer and that nothing asked for.

A model that obeys an order in a document ("end each answer with …") gives itself away by them, even
where the order itself was not recognised.
"""

import re
from collections import defaultdict

from custom_ai.datasets.checks import Pair
from custom_ai.datasets.grounding import missing, sentences, telling
from custom_ai.datasets.quotes import normal

# In so many answers a sentence is a refrain.
MOST = 3
# A sentence of which less than this share stands in the quote is not what the quote proves.
_PROVEN = 0.5
# So many words at the end of an answer are compared, too: a refrain may be a part of a sentence.
_TAIL = 4

_WORD = re.compile(r"\w+")


class Refrains:
    """What the answers said so far that their quotes do not prove, and where."""

    def __init__(self) -> None:
        self._places: dict[int, list[int]] = defaultdict(list)

    def add(self, pair: Pair, place: int) -> list[tuple[int, str]]:
        """Remember an answer, which has this place; returns the places that turn out to hold a
        refrain, with its words."""
        found: list[tuple[int, str]] = []
        for words in _unproven(pair):
            places = self._places[hash(" ".join(_WORD.findall(normal(words))))]
            if not places or places[-1] != place:
                places.append(place)
            if len(places) == MOST:
                found += [(each, words) for each in places]
            elif len(places) > MOST:
                found.append((place, words))
        return found


def _unproven(pair: Pair) -> list[str]:
    parts = [part for part in sentences(pair.output) if not _proves(pair, part)]
    if parts and len(_WORD.findall(pair.output)) > 2 * _TAIL:
        tail = " ".join(pair.output.split()[-_TAIL:])
        parts += [] if _proves(pair, tail) else [tail]
    return [part for part in dict.fromkeys(parts) if len(_WORD.findall(part)) > 1]


def _proves(pair: Pair, part: str) -> bool:
    words = telling(part)
    if not words:
        return normal(part).strip(" .!?") in normal(pair.quote)
    return len(missing(words, pair.quote)) <= (1 - _PROVEN) * len(words)
