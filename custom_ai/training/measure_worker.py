"""The child process that looks at the samples of a training and measures one real step of it.

Usage: python -m custom_ai.training.measure_worker

A JSON line on stdin: {"model", "samples", "options"}. Lines on stdout: first what the samples are,
then what the step took, or an error as {"code", "values"}; together the fields of `Measured`. The
process ends when stdin does, so it can't outlive a parent that was killed.
"""

import json
import os
import random
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

from custom_ai.errors import UserError, from_exception
from custom_ai.models.catalogue import TrainableModel, fetch, resolve
from custom_ai.models.loading import load_tokenizer
from custom_ai.step import Event, Step
from custom_ai.training import engine, memory, plan_b
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import TrainingSample, load_samples, tokenize
from custom_ai.training.engine import Job

Json = dict[str, Any]

# An answer of less is hardly one: a word or a number, and the end mark.
_FEW_TOKENS = 5

# What is measured: the first step makes what later ones find, so the second one counts.
_STEPS = 2


class Samples:
    """The samples of a training as tokens: their lengths, and which of them are amiss."""

    def __init__(self, model: TrainableModel, path: Path, options: TrainingOptions) -> None:
        self._options = options
        tokenizer = load_tokenizer(fetch(model))
        train, self.validation = load_samples(path, options)
        self._lengths: list[tuple[int, TrainingSample]] = []
        self._cut: list[int] = []
        self._dropped: list[int] = []
        self._few: list[int] = []
        self._preview: list[tuple[str, bool]] = []
        self._validation = sum(
            min(options.max_length, len(tokenize(sample, tokenizer)[0]))
            for sample in self.validation
        )
        for sample in train:
            tokens, start = tokenize(sample, tokenizer)
            if start >= options.max_length:
                self._dropped.append(sample.line)
                continue
            if len(tokens) > options.max_length:
                self._cut.append(sample.line)
            if len(tokens) - start < _FEW_TOKENS:
                self._few.append(sample.line)
            if not self._preview:
                tokens = tokens[: options.max_length]
                parts = [tokens[:start], tokens[start:]]
                self._preview = [(tokenizer.decode(parts[i]), i == 1) for i in (0, 1)]
            self._lengths.append((min(len(tokens), options.max_length), sample))
        if not self._lengths:
            raise UserError("training.all_too_long", max_length=options.max_length)

    def as_json(self) -> Json:
        """The part of `Measured` that the samples decide."""
        rows = -(-self._tokens_learnt() // self._options.max_length)
        count = rows if self._options.packing else len(self._lengths)
        return {
            "samples": len(self._lengths),
            "validation": len(self.validation),
            "longest": max(length for length, _ in self._lengths),
            "cut": self._cut,
            "dropped": self._dropped,
            "few": self._few,
            "preview": self._preview,
            "steps": -(-count // self._options.effective_batch) * self._options.epochs,
            "memory": None,
            "step_seconds": None,
            "seconds": None,
        }

    def tokens(self) -> int:
        """Of an epoch, what fills up the batches included; those of the validation count less."""
        # A look costs a third of a step, which also goes the way back.
        return self._tokens_learnt() + self._validation // 3

    def _tokens_learnt(self) -> int:
        lengths = [length for length, _ in self._lengths]
        if self._options.packing:
            return sum(lengths)
        if self._options.group_by_length:
            lengths.sort()
        else:
            random.Random(self._options.seed).shuffle(lengths)
        size = self._options.batch_size
        batches = [lengths[i : i + size] for i in range(0, len(lengths), size)]
        return sum(len(batch) * max(batch) for batch in batches)

    def hardest(self, options: TrainingOptions) -> list[TrainingSample]:
        """The longest samples, enough for the steps to measure."""
        ordered = sorted(self._lengths, key=lambda pair: -pair[0])
        wanted = _STEPS * options.effective_batch
        if options.packing:
            wanted *= -(-options.max_length // ordered[len(ordered) // 2][0])
        return [ordered[i % len(ordered)][1] for i in range(wanted)]


def measure(model: TrainableModel, samples: Samples, asked: TrainingOptions) -> Json:
    """Train two steps with the hardest samples; the part of `Measured` that they decide."""
    changes = {
        "epochs": 1,
        # A second batch in a step finds the gradients of the first; more than two change nothing.
        "gradient_accumulation": min(2, asked.gradient_accumulation),
        "group_by_length": False,
        "early_stopping": 0,
        "save_steps": 0,
        "fixed_questions": min(1, asked.fixed_questions),
    }
    options = TrainingOptions.parse({**asked.model_dump(), **changes})
    train = samples.hardest(options)
    longest = sorted(samples.validation, key=lambda s: -len(s.instruction) - len(s.output))
    ends: list[tuple[float, int, int]] = [(0.0, 0, 0)]

    def report(event: Event) -> None:
        if event["kind"] == "metric" and "loss" in event:
            ends.append((event["seconds"], event["tokens"], event.get("memory", 0)))

    with tempfile.TemporaryDirectory(prefix="custom-ai-measure-") as place:
        folder = Path(place)
        job = Job(model, train, longest[: options.batch_size], options, folder)
        result = engine.train(job, Step(folder, report, lambda: None))
    plan = result.plan_b
    used = plan_b.changed(options, plan) if plan else options
    if plan and "batch_size" in plan:
        plan["gradient_accumulation"] = asked.effective_batch // used.batch_size
    tokens = ends[-1][1] - ends[-2][1]
    per_token = (ends[-1][0] - ends[-2][0]) / tokens
    return {
        "memory": max(memory.peak(), *(bytes_ for _, _, bytes_ in ends)),
        "step_seconds": per_token * tokens * asked.effective_batch / used.effective_batch,
        "seconds": per_token * samples.tokens() * asked.epochs,
        "plan_b": plan,
    }


def main() -> int:
    """Read the request, answer it; returns 1 after an error."""
    # Libraries print where they like; only our lines may reach the parent's pipe.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def say(words: Json) -> None:
        stream.write(json.dumps(words) + "\n")
        stream.flush()

    try:
        model = resolve(request["model"])
        options = TrainingOptions.parse(request["options"])
        samples = Samples(model, Path(request["samples"]), options)
        say(samples.as_json())
        say(measure(model, samples, options))
    except Exception as error:
        traceback.print_exception(error)
        found = from_exception(error)
        if found and found.code in engine.OUT_OF_MEMORY:
            return 0
        reason = f"{type(error).__name__}: {error}"
        found = found or UserError("training.not_measured", code=reason)
        say({"code": found.code, "values": found.values})
        return 1
    return 0


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
