"""Measure real steps of a training before it starts, in a process of its own.

The first samples are the longest ones, so the memory is that of the hardest step; the time follows
from steps of usual length and from the other parts (see `pace`). What was measured is kept for the
same model, options, samples and machine.
"""

import hashlib
import json
import threading
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from custom_ai import child
from custom_ai.errors import UserError
from custom_ai.files import read_json, write_json
from custom_ai.hardware import Hardware
from custom_ai.models.catalogue import TrainableModel
from custom_ai.settings import home
from custom_ai.training.config import WITHOUT_EFFECT, TrainingOptions
from custom_ai.training.fingerprint import LIBRARIES, model_digest

_MODULE = "custom_ai.training.measure_worker"

# A step that takes longer than this answers the question by itself.
_PATIENCE_SECONDS = 900.0

# Options that change neither the memory nor the time of a step.
_WITHOUT_COST = WITHOUT_EFFECT - {"threads"} | {"result", "scheduler", "weight_decay"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """What the samples are, and what a training with them takes.

    samples, validation: that are trained with. longest: tokens of the longest one. cut, dropped:
    lines of samples longer than the sequence length, of those whose question alone fills it.
    few: lines of samples with hardly a token to learn. preview: one sample as (text, whether it
    is learnt). steps: optimizer steps of the training.
    memory: bytes at the highest point; None where the memory was not enough. step_seconds: of the
    hardest step; seconds: of the whole training, from the start of its process to the end, between
    least and most; parts: of which what takes how many of them. plan_b: what had to be changed to
    make it fit.
    """

    samples: int
    validation: int
    longest: int
    cut: list[int]
    dropped: list[int]
    few: list[int]
    preview: list[tuple[str, bool]]
    steps: int
    memory: int | None = None
    step_seconds: float | None = None
    seconds: float | None = None
    least: float | None = None
    most: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    plan_b: Json | None = None

    def as_json(self) -> Json:
        """A JSON object with these names."""
        return asdict(self)


def measure(
    model: TrainableModel, samples: Path, options: TrainingOptions, machine: Hardware
) -> Measured:
    """What a training would take; from an earlier measurement where nothing has changed.

    Raises UserError for what also the training would fail with.
    """
    kept = home() / "cache" / "measured" / f"{_key(model, samples, options, machine)}.json"
    if kept.exists():
        return Measured(**read_json(kept))
    measured = _in_child(model, samples, options)
    write_json(kept, measured.as_json())
    return measured


def _in_child(model: TrainableModel, samples: Path, options: TrainingOptions) -> Measured:
    process = child.start(_MODULE)
    assert process.stdin is not None and process.stdout is not None
    patience = threading.Timer(_PATIENCE_SECONDS, process.kill)
    patience.start()
    try:
        request = {"model": model.name, "samples": str(samples), "options": options.model_dump()}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        lines = process.stdout.read().splitlines()
    finally:
        patience.cancel()
        child.ask_to_end(process)
        process.stdout.close()
    answers: list[Json] = [json.loads(line) for line in lines]
    if answers and "code" in answers[-1]:
        raise UserError(answers[-1]["code"], **answers[-1]["values"])
    if not answers:
        raise UserError("training.not_measured", code=process.returncode)
    # The samples come first. Where nothing follows, the system ended a process that took too much.
    return Measured(**{name: value for answer in answers for name, value in answer.items()})


def _key(model: TrainableModel, samples: Path, options: TrainingOptions, machine: Hardware) -> str:
    folder = model.folder()
    parts = {
        # Of another version of custom-ai, which measured other things.
        "fields": [field.name for field in fields(Measured)],
        "model": model_digest(folder) if folder else model.name,
        "samples": hashlib.sha256(samples.read_bytes()).hexdigest(),
        "options": options.model_dump(exclude=set(_WITHOUT_COST)),
        "machine": [machine.device.kind, machine.device.name, machine.ram, machine.cores],
        "libraries": [version(name) for name in LIBRARIES],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
