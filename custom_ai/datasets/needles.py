"""Which of many words a text holds, without looking for each of them."""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Three letters in a row get a number below this, a power of two; other three may get the same.
_NUMBERS = 2**14


class Needles:
    """Words to look for.

    The threes of letters of a text are noted in a table, once; a word is looked for only when all
    of its own stand there. Of two hundred words in a page of text that leaves a handful.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = list(dict.fromkeys(words))

    def held(self, text: str) -> set[str]:
        """The words that the text holds, letter by letter."""
        import numpy as np

        table = np.zeros(_NUMBERS, bool)
        table[_threes(text)] = True
        # The last number stands for the words that have none.
        table[-1] = True
        threes, starts = self._places
        likely = np.logical_and.reduceat(table[threes], starts).nonzero()[0]
        return {word for place in likely.tolist() if (word := self._words[place]) in text}

    @cached_property
    def _places(self) -> "tuple[NDArray[np.intp], NDArray[np.intp]]":
        """The threes of all words in a row, and where in it each word begins."""
        import numpy as np

        own = [threes if (threes := _threes(w).tolist()) else [_NUMBERS - 1] for w in self._words]
        starts = np.cumsum([0, *map(len, own)])[:-1]
        return np.concatenate(own), starts


def _threes(text: str) -> "NDArray[np.uint32]":
    """The numbers of all threes of letters of a text."""
    import numpy as np

    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    threes: NDArray[np.uint32] = (letters[:-2] * 961 + letters[1:-1] * 31 + letters[2:]) & (
        _NUMBERS - 1
    )
    return threes
