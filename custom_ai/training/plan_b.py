"""What can be done when the memory is not enough for a training as it was asked for.

The steps keep the effective batch, so that what is learnt stays what was chosen: first fewer
samples at once and more batches in one step, then computing intermediate values again, then base
weights in 4 bits. Shorter samples are only offered: they would cut off answers.
"""

from pathlib import Path
from typing import Any

from custom_ai.files import read_json, write_json
from custom_ai.options import flag, limits
from custom_ai.step import Step
from custom_ai.training.config import TrainingOptions

_FILE = "plan_b.json"
_MOST_ACCUMULATION = limits(TrainingOptions.model_fields["gradient_accumulation"])["le"]

Changes = dict[str, Any]


def following(options: TrainingOptions, can_4bit: bool) -> Changes | None:
    """The options to change next; None where nothing is left that keeps what is learnt."""
    return next(iter(gentle(options, can_4bit)), None)


def gentle(options: TrainingOptions, can_4bit: bool) -> list[Changes]:
    """Every single change that saves memory and keeps what is learnt, the gentlest first."""
    found: list[Changes] = []
    if smaller := _smaller_batch(options):
        found.append(smaller)
    if not options.gradient_checkpointing:
        found.append({"gradient_checkpointing": True})
    if can_4bit and not options.load_in_4bit:
        found.append({"load_in_4bit": True})
    return found


def offers(options: TrainingOptions, can_4bit: bool) -> list[Changes]:
    """Every single change that saves memory, the gentlest first."""
    found = gentle(options, can_4bit)
    if options.max_length > 64:
        found.append({"max_length": max(64, options.max_length // 2)})
    return found


def changed(options: TrainingOptions, changes: Changes) -> TrainingOptions:
    """The options with these changes."""
    return TrainingOptions.parse({**options.model_dump(), **changes})


def taken(folder: Path) -> Changes | None:
    """What a training in this folder had to change so far."""
    path = folder / _FILE
    return read_json(path)["changes"] if path.exists() else None


def take(folder: Path, options: TrainingOptions, changes: Changes, step: Step) -> TrainingOptions:
    """Change the options, keep that in the folder for later sessions, and say it."""
    write_json(folder / _FILE, {"changes": {**(taken(folder) or {}), **changes}})
    plan = changed(options, changes)
    step.warn(
        "training.plan_b",
        batch_size=plan.batch_size,
        gradient_accumulation=plan.gradient_accumulation,
        changes=in_words(changes),
    )
    return plan


def in_words(changes: Changes) -> str:
    """The changes with the names of the command line: `--batch-size 2 --load-in-4bit`."""
    parts = []
    for name, value in changes.items():
        parts.append(flag(name) if value is True else f"{flag(name)} {value}")
    return " ".join(parts)


def _smaller_batch(options: TrainingOptions) -> Changes | None:
    """The next smaller batch that divides the present one; the accumulation makes up for it."""
    batch, accumulation = options.batch_size, options.gradient_accumulation
    for size in range(batch // 2, 0, -1):
        times = accumulation * (batch // size)
        if batch % size == 0 and times <= _MOST_ACCUMULATION:
            return {"batch_size": size, "gradient_accumulation": times}
    return None
