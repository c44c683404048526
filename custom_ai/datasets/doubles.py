"""Pairs that say what another said before, found among thousands."""

import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache, lru_cache
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

# Questions with up to so many pieces lie in the first drawer, with up to four times as many in the
# next one, and so on; the last one holds whatever is longer.
_FIRST_DRAWER = 96
_LAST_DRAWER = 4

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
    they are leaks, whoever wrote them.
    """

    def __init__(self, same: float = SAME) -> None:
        import numpy  # noqa: F401  # here, where nobody waits for an answer

        self._same = same
        self._pairs: list[_Met] = []
        self._drawers: dict[int, _Drawer] = {}
        self._expected: dict[str, list[int]] = {}
        self._expected_from = 0

    def look(self, pair: Pair, model: str = "", split: str = "") -> Double | None:
        """What the pair has in common with one that was met; None where it is new."""
        question = normal(pair.instruction)
        pieces = _pieces(question)
        found: Double | None = None
        for index in self._may_be_like(question):
            other = self._pairs[index]
            # The pieces of the last ones are still at hand as a set, which is compared sooner.
            recent = index >= self._expected_from
            theirs = _pieces(other.question) if recent else other.pieces
            if _jaccard(pieces, theirs) < self._same:
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

    def expect(self, pairs: Iterable[Pair]) -> None:
        """Compare pairs all at once that will be looked at soon: in half of the time."""
        questions = list({normal(pair.instruction): None for pair in pairs})
        self._expected = dict(zip(questions, self._candidates(questions), strict=True))
        self._expected_from = len(self._pairs)

    def _may_be_like(self, question: str) -> Iterable[int]:
        """The pairs whose question may be alike, in their order."""
        if (found := self._expected.get(question)) is None:
            return self._candidates([question])[0]
        return (*found, *range(self._expected_from, len(self._pairs)))

    def _candidates(self, questions: Sequence[str]) -> list[list[int]]:
        """For each question the pairs that may be alike, in their order."""
        found: list[list[int]] = [[] for _ in questions]
        sizes = [len(_pieces(question)) for question in questions]
        for number, drawer in self._drawers.items():
            # What is much shorter or longer can't be alike.
            near = [n for n, size in enumerate(sizes) if number in _near(size, self._same)]
            if near:
                for one, index in drawer.alike([questions[n] for n in near]):
                    found[near[one]].append(index)
        return [sorted(indexes) for indexes in found]

    def add(self, pair: Pair, id_: str = "", model: str = "", split: str = "") -> None:
        """Remember a pair."""
        question = normal(pair.instruction)
        pieces = _pieces(question)
        number = _drawer(len(pieces))
        if number not in self._drawers:
            self._drawers[number] = _Drawer(self._same, 4**number)
        self._drawers[number].add(question, len(self._pairs))
        self._pairs.append(_Met(question, array("I", pieces), pair.output, id_, model, split))


class _Drawer:
    """Questions of about the same length, to be compared all at once.

    Of each a row of bits is kept: a piece sets one of them, by its number. A bit that only one of
    two rows has stands for a piece that only one of the questions has. And what two sets with the
    Jaccard index s don't share is at most (1 - s) / (1 + s) of their sizes' sum. So a question that
    is alike is never missed, and of the others hardly one is taken for it. (The bitmap filter of
    Sandes, Teodoro and Melo, 2017.)
    """

    def __init__(self, same: float, length: int) -> None:
        """length: that of its questions, as a multiple of those in the first drawer."""
        import numpy as np

        self._apart = (1 - same) / (1 + same)
        # The less must be shared, the more bits tell two questions apart.
        self._words = length * (2 if same >= 0.6 else 4 if same >= 0.45 else 16)
        self._bits = np.zeros((self._words, 64), np.uint64)
        # How many bits a question may have for itself in one that is alike.
        self._own = np.zeros(64, np.min_scalar_type(64 * self._words))
        self._indexes = array("L")
        # Those of the questions that were compared last, and will be put in next.
        self._rows: dict[str, NDArray[np.uint64]] = {}

    def add(self, question: str, index: int) -> None:
        """Put a question in, which has this index."""
        import numpy as np

        place = len(self._indexes)
        if place == len(self._own):
            self._bits = np.concatenate([self._bits, np.zeros_like(self._bits)], axis=1)
            self._own = np.concatenate([self._own, np.zeros_like(self._own)])
        row = self._rows.get(question)
        self._bits[:, place] = _bits([question], self._words)[0] if row is None else row
        self._own[place] = self._most(question)
        self._indexes.append(index)

    def alike(self, questions: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Which of the questions may be like one in here: its place, and the index of that one."""
        import numpy as np

        end, own = len(self._indexes), self._own
        rows = _bits(questions, self._words)
        self._rows = dict(zip(questions, rows, strict=True))
        other = self._bits[:, None, :end] ^ rows.T[:, :, None]
        differing = np.bitwise_count(other).sum(axis=0, dtype=own.dtype)
        most = np.array([[self._most(question)] for question in questions], own.dtype)
        # Found in one row, which takes a tenth of the time of a table.
        for found in (differing <= own[:end] + most).ravel().nonzero()[0].tolist():
            yield found // end, self._indexes[found % end]

    def _most(self, question: str) -> int:
        # Rounded up, so that nothing is lost; a row has no more bits than there are.
        return min(int(self._apart * len(_pieces(question))) + 1, 32 * self._words)


def _drawer(pieces: int) -> int:
    """The number of the drawer for questions with so many pieces."""
    number = 0
    while pieces > _FIRST_DRAWER and number < _LAST_DRAWER:
        number, pieces = number + 1, -(-pieces // 4)
    return number


@lru_cache(maxsize=1024)
def _near(pieces: int, same: float) -> range:
    """The drawers in which a question that is alike may lie."""
    return range(_drawer(int(same * pieces)), _drawer(int(pieces / same) + 1) + 1)


def _mean_the_same(question: str, other: _Met) -> bool:
    """Whether two questions that are alike ask for the same: "port 80" and "port 443" do not."""
    return (
        set(_WORD.findall(question)) - STOP_WORDS == set(_WORD.findall(other.question)) - STOP_WORDS
    )


def _bits(texts: Sequence[str], words: int) -> "NDArray[np.uint64]":
    """A row of `words` times 64 bits for each text; each piece of it sets one."""
    import numpy as np

    numbers = [_numbers(text) for text in texts]
    row = np.repeat(np.arange(len(texts)), [len(of_text) for of_text in numbers])
    bits = np.zeros((len(texts), 64 * words), np.uint8)
    bits[row, np.concatenate(numbers) * np.uint64(64 * words) >> np.uint64(32)] = 1
    return np.packbits(bits, axis=1).view(np.uint64)


@lru_cache(maxsize=16)
def _pieces(text: str) -> frozenset[int]:
    """The five-letter pieces of a text, as numbers of 32 bits."""
    return frozenset(_numbers(text).tolist())


@lru_cache(maxsize=16)
def _numbers(text: str) -> "NDArray[np.uint64]":
    """A number of 32 bits for each five letters of a text."""
    import numpy as np

    letters = np.frombuffer(text.ljust(5, "\0").encode("utf-32-le"), "<u4").astype(np.uint64)
    # Multiply-shift: two pieces get the same number as seldom as by chance, on every machine.
    return np.correlate(letters, _factors(), "valid") >> np.uint64(32)


@cache
def _factors() -> "NDArray[np.uint64]":
    import numpy as np

    return np.array(_FACTORS, np.uint64)


def _jaccard(one: frozenset[int], other: Collection[int]) -> float:
    common = len(one.intersection(other))
    return common / (len(one) + len(other) - common)
