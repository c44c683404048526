"""The cut between a training and what carries it out: one file in `engines/` is one engine."""

import contextlib
import ctypes
import gc
import importlib
import pkgutil
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from custom_ai.errors import UserError
from custom_ai.models.catalogue import TrainableModel
from custom_ai.step import Step
from custom_ai.training import engines, plan_b
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import TrainingSample

# What says that model or step did not fit into the memory.
OUT_OF_MEMORY = ("training.out_of_memory", "models.out_of_memory")


@dataclass(frozen=True)
class Job:
    """What to train: a base model on samples (validation may be empty); folder: where to.

    asked: what was asked for, where `options` are a plan B for want of memory; else None.
    """

    model: TrainableModel
    train: list[TrainingSample]
    validation: list[TrainingSample]
    options: TrainingOptions
    folder: Path
    asked: TrainingOptions | None = None


@dataclass(frozen=True)
class Result:
    """What came of a training.

    adapter: the finished LoRA adapter; its weights are those after `best_step` of `steps`
    optimizer steps. loss: of the last step; eval_loss: at `best_step`, None without validation.
    tokens: learnt from, padding left out; seconds: of work, pauses left out.
    plan_b: the options that were changed because the memory was not enough; None where none were.
    stopped_early: whether the training ended because the validation got no better any more.
    """

    adapter: Path
    steps: int
    best_step: int
    epochs: int
    loss: float
    eval_loss: float | None
    tokens: int
    seconds: float
    plan_b: dict[str, Any] | None = None
    stopped_early: bool = False

    def as_json(self) -> dict[str, Any]:
        """A JSON object with these names."""
        return {**asdict(self), "adapter": str(self.adapter)}


class Engine(Protocol):
    """An engine; `engines/<name>.py` holds one as engine."""

    name: str

    def unavailable(self) -> str | None:
        """None, or what is missing here and how to get it; imports nothing heavy."""

    def no_4bit(self) -> str | None:
        """None, or why it can't keep base weights in 4 bits here; imports nothing heavy."""

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


def usable() -> list[str]:
    """The engines that work here, by name."""
    return [name for name in names() if find(name).unavailable() is None]


def find(name: str) -> Engine:
    """The engine of this name; UserError for an unknown one. It may still be unavailable."""
    if name not in names():
        raise UserError("training.unknown_engine", name=name, known=", ".join(names()))
    engine: Engine = importlib.import_module(f"{engines.__name__}.{name}").engine
    return engine


def train(job: Job, step: Step) -> Result:
    """Train with the engine the job names; UserError when it can't work here.

    When the memory runs out, the training goes on with the next plan B (see `plan_b`), unless the
    options forbid it; it then stays with that plan, also when it is continued another day.
    """
    engine = find(job.options.engine)
    if reason := engine.unavailable():
        raise UserError("training.engine_unavailable", name=engine.name, reason=reason)
    if job.options.load_in_4bit and (reason := engine.no_4bit()):
        raise UserError("training.no_4bit", reason=reason)
    changes = plan_b.taken(job.folder)
    if changes:
        job = replace(job, options=plan_b.changed(job.options, changes), asked=job.options)
    while True:
        result = _attempt(engine, job, step)
        if result:
            return replace(result, plan_b=plan_b.taken(job.folder))
        # Here, and not in the handler of the failure, nothing holds its tensors any more.
        _free_memory()
        changes = plan_b.following(job.options, engine.no_4bit() is None)
        assert changes is not None
        plan = plan_b.take(job.folder, job.options, changes, step)
        job = replace(job, options=plan, asked=job.asked or job.options)


def _attempt(engine: Engine, job: Job, step: Step) -> Result | None:
    """The result; None when the memory was not enough and there is a plan B to take."""
    try:
        return engine.train(job, step)
    except UserError as error:
        is_last = plan_b.following(job.options, engine.no_4bit() is None) is None
        if error.code not in OUT_OF_MEMORY or is_last or not job.options.plan_b:
            raise
    return None


def _free_memory() -> None:
    """Give back what the failed step held, to the system too: it may be needed in other pieces."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()
    # The heap of glibc keeps what is freed; other systems have no such call and no such habit.
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
