"""Whether what measures a model, or chooses its best state, stands in what it learns from.

A check after the split, over the samples as they are in the end: also those that were imported with
a split of their own, or changed by hand. Eight words in a row are what language models' makers
compare to keep tests out of training (GPT-3, Brown et al. 2020, appendix C, with 13 words).
"""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from custom_ai.datasets.quotes import normal
from custom_ai.datasets.sample import Sample

WORDS = 8
# A held-out sample of whose pieces so many stand in one sample of the training is known there.
SHARE = 0.6

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Leak:
    """A sample of the validation or the exam that one of the training gives away.

    share: how many of its pieces of eight words stand there, from 0 to 1.
    """

    held_out: Sample
    train: Sample
    share: float


@dataclass(frozen=True)
class Leakage:
    """What was compared, in numbers of samples, and what leaks, the worst first."""

    train: int
    held_out: int
    leaks: tuple[Leak, ...]

    def as_json(self) -> dict[str, Any]:
        """For files and programs; the samples by their ids."""
        return {
            "words": WORDS,
            "share": SHARE,
            "train": self.train,
            "held_out": self.held_out,
            "leaks": [
                {
                    "id": leak.held_out.id,
                    "split": leak.held_out.split,
                    "train_id": leak.train.id,
                    "share": round(leak.share, 3),
                }
                for leak in self.leaks
            ],
        }


def leakage(samples: Iterable[Sample]) -> Leakage:
    """Compare the samples held out (validation, exam) with those to train with.

    Question and answer count each by their pieces of eight words in a row; a shorter one is a piece
    of its own. So a short answer alone ("Yes.") is no leak, and the same answer to another question
    is one when it is long.
    """
    known = list(samples)
    held_out = [sample for sample in known if sample.split != "train"]
    # Only the pieces of what is held out are kept: they are the few.
    holding: defaultdict[int, array[int]] = defaultdict(lambda: array("I"))
    sizes = []
    for index, sample in enumerate(held_out):
        pieces = set(_pieces(sample))
        sizes.append(len(pieces))
        for piece in pieces:
            holding[piece].append(index)
    worst: dict[int, tuple[float, Sample]] = {}
    train = 0
    for sample in known:
        if sample.split != "train":
            continue
        train += 1
        shared = Counter(
            index for piece in set(_pieces(sample)) for index in holding.get(piece, ())
        )
        for index, count in shared.items():
            share = count / sizes[index]
            if share >= SHARE and share > worst.get(index, (0.0, None))[0]:
                worst[index] = (share, sample)
    leaks = [Leak(held_out[index], other, share) for index, (share, other) in worst.items()]
    return Leakage(train, len(held_out), tuple(sorted(leaks, key=lambda leak: -leak.share)))


def _pieces(sample: Sample) -> Iterator[int]:
    for text in (sample.instruction, sample.output):
        words = _WORD.findall(normal(text))
        for start in range(max(1, len(words) - WORDS + 1)):
            yield hash(tuple(words[start : start + WORDS]))
