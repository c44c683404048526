"""Which samples stand side by side: packed into one row, or batches of like length."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from custom_ai.training.data import IGNORED, EncodedSample

Row = dict[str, list[int]]

# So many batches are sorted by length together: enough to save padding, few enough to stay random.
_MEGABATCH = 50


def plain(samples: Sequence[EncodedSample]) -> list[Row]:
    """One row per sample."""
    return [{"input_ids": s.input_ids, "labels": s.labels} for s in samples]


def packed(samples: Sequence[EncodedSample], max_length: int) -> list[Row]:
    """Several samples per row of at most `max_length` tokens: longest first, each where it fits.

    In "position_ids" every sample begins at 0 again; by that the model's mask keeps them apart.
    """
    places = packing([len(sample.input_ids) for sample in samples], max_length)
    return [_joined([samples[i] for i in row]) for row in places]


def packing(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """Which samples, by their places in `lengths`, share a row of at most `max_length` tokens."""
    bins: list[list[int]] = []
    room: list[int] = []
    for sample in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[sample]
        place = next((i for i, left in enumerate(room) if left >= length), None)
        if place is None:
            bins.append([])
            room.append(max_length)
            place = len(bins) - 1
        bins[place].append(sample)
        room[place] -= length
    return bins


def collate(rows: list[dict[str, Any]], padding: int) -> dict[str, Any]:
    """Rows as tensors [rows, tokens], filled up on the right; without an attention mask.

    What fills up comes after everything that is learnt, so a causal model never sees it; and only
    without a mask does transformers make one from the positions.
    """
    import torch

    width = max(len(row["input_ids"]) for row in rows)

    def filled(name: str, value: int) -> Any:
        return torch.tensor([list(row[name]) + [value] * (width - len(row[name])) for row in rows])

    for row in rows:
        row.setdefault("position_ids", list(range(len(row["input_ids"]))))
    return {
        "input_ids": filled("input_ids", padding),
        "labels": filled("labels", IGNORED),
        "position_ids": filled("position_ids", 0),
    }


class ByLength:
    """A sampler whose order follows from seed and epoch alone, so that it is the same on resume."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        """batch: samples of one optimizer step, so that a smaller batch changes nothing."""
        self._lengths, self._batch, self._seed = lengths, batch, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch, counted from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        draw = random.Random(f"{self._seed} {self._epoch}")
        order = list(range(len(self._lengths)))
        draw.shuffle(order)
        size = self._batch * min(_MEGABATCH, max(1, len(order) // (4 * self._batch)))
        for start in range(0, len(order), size):
            mega = sorted(order[start : start + size], key=lambda i: -self._lengths[i])
            groups = [mega[i : i + self._batch] for i in range(0, len(mega), self._batch)]
            # From long to short in every stretch would be a rhythm of its own; a group that is not
            # full may only be the last one.
            full = [group for group in groups if len(group) == self._batch]
            draw.shuffle(full)
            yield from (i for group in [*full, *groups[len(full) :]] for i in group)


def _joined(parts: list[EncodedSample]) -> Row:
    return {
        "input_ids": [token for part in parts for token in part.input_ids],
        # The first token of a sample is predicted from nothing; it is never learnt.
        "labels": [label for part in parts for label in [IGNORED, *part.labels[1:]]],
        "position_ids": [place for part in parts for place in range(len(part.input_ids))],
    }
