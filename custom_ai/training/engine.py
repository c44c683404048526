"""The cut between a training and what carries it out: one file in `engines/` is one engine."""

import importlib
import pkgutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from custom_ai.errors import UserError
from custom_ai.models.catalogue import TrainableModel
from custom_ai.step import Step
from custom_ai.training import engines
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import TrainingSample


@dataclass(frozen=True)
class Job:
    """What to train: a base model on samples (validation may be empty); folder: where to."""

    model: TrainableModel
    train: list[TrainingSample]
    validation: list[TrainingSample]
    options: TrainingOptions
    folder: Path


@dataclass(frozen=True)
class Result:
    """What came of a training.

    adapter: the finished LoRA adapter; its weights are those after `best_step` of `steps`
    optimizer steps. loss: of the last step; eval_loss: at `best_step`, None without validation.
    tokens: learnt from, padding left out; seconds: of work, pauses left out.
    """

    adapter: Path
    steps: int
    best_step: int
    epochs: int
    loss: float
    eval_loss: float | None
    tokens: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """A JSON object with these names."""
        return {**asdict(self), "adapter": str(self.adapter)}


class Engine(Protocol):
    """An engine; `engines/<name>.py` holds one as engine."""

    name: str

    def unavailable(self) -> str | None:
        """None, or what is missing here and how to get it; imports nothing heavy."""

    def train(self, job: Job, step: Step) -> Result:
        """Train, or continue what lies in the job's folder, to the end.

        Leaves in that folder: adapter/ (the result), best/ and epoch_1/ … (adapters alone),
        checkpoints/. Reports metric, checkpoint and progress events. Raises Stopped when
        asked to, after saving for "pause", and UserError for what people can act on. A job other
        than the one that was begun in the folder is a UserError.
        """


def names() -> list[str]:
    """The engines there are, by name."""
    return sorted(module.name for module in pkgutil.iter_modules(engines.__path__))


def find(name: str) -> Engine:
    """The engine of this name; UserError for an unknown one. It may still be unavailable."""
    if name not in names():
        raise UserError("training.unknown_engine", name=name, known=", ".join(names()))
    engine: Engine = importlib.import_module(f"{engines.__name__}.{name}").engine
    return engine


def train(job: Job, step: Step) -> Result:
    """Train with the engine the job names; UserError when it can't work here."""
    engine = find(job.options.engine)
    if reason := engine.unavailable():
        raise UserError("training.engine_unavailable", name=engine.name, reason=reason)
    return engine.train(job, step)
