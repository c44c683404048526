"""The samples of a training as numbers of tokens: how long, which are amiss, what they cost."""

import random
from pathlib import Path
from typing import Any

from custom_ai.errors import UserError
from custom_ai.models.catalogue import TrainableModel, fetch
from custom_ai.models.loading import load_tokenizer
from custom_ai.training.batches import packing
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import TrainingSample, load_samples, tokenize

Json = dict[str, Any]

# An answer of less is hardly one: a word or a number, and the end mark.
_FEW_TOKENS = 5


class Samples:
    """The samples of a training: their lengths, and which of them are amiss.

    longest: tokens of the longest. rows: of an epoch, what the trainer puts into batches.
    row: tokens of such a row on average, what fills up its batch included. steps: of all epochs.
    """

    def __init__(self, model: TrainableModel, path: Path, options: TrainingOptions) -> None:
        self._options = options
        self._tokenizer = load_tokenizer(fetch(model))
        train, self.validation = load_samples(path, options)
        self._lengths: list[tuple[int, TrainingSample]] = []
        self._cut: list[int] = []
        self._dropped: list[int] = []
        self._few: list[int] = []
        self._preview: list[tuple[str, bool]] = []
        for sample in train:
            self._look_at(sample)
        if not self._lengths:
            raise UserError("training.all_too_long", max_length=options.max_length)
        self.longest = max(length for length, _ in self._lengths)
        rows = self._rows()
        self.rows = len(rows)
        self.row = filled(rows, options.batch_size) / self.rows
        self.steps = -(-self.rows // options.effective_batch) * options.epochs

    def as_json(self) -> Json:
        """The part of `Measured` that the samples decide."""
        return {
            "samples": len(self._lengths),
            "validation": len(self.validation),
            "longest": self.longest,
            "cut": self._cut,
            "dropped": self._dropped,
            "few": self._few,
            "preview": self._preview,
            "steps": self.steps,
        }

    def hardest(self, options: TrainingOptions, steps: int) -> list[TrainingSample]:
        """The longest samples, enough for so many steps."""
        ordered = sorted(self._lengths, key=lambda pair: -pair[0])
        wanted = steps * options.effective_batch
        if options.packing:
            wanted *= -(-options.max_length // ordered[len(ordered) // 2][0])
        return [ordered[i % len(ordered)][1] for i in range(wanted)]

    def usual(self, options: TrainingOptions, steps: int) -> tuple[list[TrainingSample], int]:
        """Samples for so many steps whose rows are as long as those of an epoch; and how long.

        All are alike, so whatever the order, each step costs the same.
        """
        if options.packing:
            return self.hardest(options, steps), options.max_length
        length, sample = min(self._lengths, key=lambda pair: abs(pair[0] - self.row))
        return [sample] * (steps * options.effective_batch), length

    def looks(self, shown: list[TrainingSample]) -> float:
        """How many times the tokens of these samples the whole validation has."""
        parts = [
            filled([self._length(sample) for sample in part], self._options.batch_size)
            for part in (self.validation, shown)
        ]
        return parts[0] / parts[1] if shown else 0.0

    def _length(self, sample: TrainingSample) -> int:
        return min(self._options.max_length, len(tokenize(sample, self._tokenizer)[0]))

    def _look_at(self, sample: TrainingSample) -> None:
        limit = self._options.max_length
        tokens, start = tokenize(sample, self._tokenizer)
        if start >= limit:
            self._dropped.append(sample.line)
            return
        if len(tokens) > limit:
            self._cut.append(sample.line)
        if len(tokens) - start < _FEW_TOKENS:
            self._few.append(sample.line)
        if not self._preview:
            tokens = tokens[:limit]
            parts = [tokens[:start], tokens[start:]]
            self._preview = [(self._tokenizer.decode(parts[i]), i == 1) for i in (0, 1)]
        self._lengths.append((min(len(tokens), limit), sample))

    def _rows(self) -> list[int]:
        """Tokens of the rows of an epoch, in an order like that of the training."""
        lengths = [length for length, _ in self._lengths]
        if self._options.packing:
            bins = packing(lengths, self._options.max_length)
            return [sum(lengths[i] for i in row) for row in bins]
        if self._options.group_by_length:
            return sorted(lengths)
        random.Random(self._options.seed).shuffle(lengths)
        return lengths


def filled(lengths: list[int], batch: int) -> int:
    """Tokens of rows of these lengths in batches, each filled up to its longest row."""
    batches = [lengths[i : i + batch] for i in range(0, len(lengths), batch)]
    return sum(len(rows) * max(rows) for rows in batches)
