"""How right an answer is: exact match and word F1 as in SQuAD, with a bootstrap interval.

Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", EMNLP 2016.
"""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """Shares between 0 and 1 over `n` questions; low and high bound the mean F1 (95 %)."""

    n: int
    exact: float
    f1: float
    low: float
    high: float


def words(text: str) -> list[str]:
    """The words of a text without case, punctuation and spacing."""
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())


def is_right(answer: str, expected: str) -> bool:
    """Whether the answer says exactly what was expected, word for word."""
    return words(answer) == words(expected)


def f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall over the words of the two texts."""
    given, wanted = words(answer), words(expected)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def score(pairs: Sequence[tuple[str, str]], resamples: int = 1000, seed: int = 0) -> Score | None:
    """Score (answer, expected) pairs; None where there is nothing to score.

    The interval is the percentile bootstrap over questions, with a fixed seed so that the same
    answers always give the same numbers.
    """
    if not pairs:
        return None
    values = [f1(answer, expected) for answer, expected in pairs]
    draw = random.Random(seed)
    means = sorted(sum(draw.choices(values, k=len(values))) / len(values) for _ in range(resamples))
    return Score(
        n=len(pairs),
        exact=sum(is_right(a, e) for a, e in pairs) / len(pairs),
        f1=sum(values) / len(values),
        low=means[int(0.025 * resamples)],
        high=means[int(0.975 * resamples) - 1],
    )
