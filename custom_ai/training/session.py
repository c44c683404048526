"""What every engine does alike where a session of a training begins and where the last one ends."""

from pathlib import Path
from typing import Any

from custom_ai.step import Step
from custom_ai.training import checkpoints
from custom_ai.training.config import TrainingOptions
from custom_ai.training.course import Course
from custom_ai.training.engine import Result


def start(root: Path, step: Step) -> Path | None:
    """The checkpoint to continue from; None begins anew. Says what it found."""
    found, damaged = checkpoints.newest(root)
    for checkpoint in damaged:
        step.warn("training.damaged_checkpoint", step=checkpoint.step)
        checkpoints.remove(checkpoint)
    if found:
        step.log("training.continues", step=found.step)
        return found.folder
    if damaged:
        step.log("training.starts_over")
    return None


def result(course: Course, state: Any, options: TrainingOptions) -> Result:
    """Make the adapter of a training that is done, and say what came of it."""
    adapter, chosen = course.finish(state)
    history = state.log_history
    evaluated = {entry["step"]: entry["eval_loss"] for entry in history if "eval_loss" in entry}
    return Result(
        adapter=adapter,
        steps=state.global_step,
        best_step=chosen,
        epochs=state.global_step * options.epochs // state.max_steps,
        loss=next(entry["loss"] for entry in reversed(history) if "loss" in entry),
        eval_loss=evaluated.get(chosen),
        tokens=state.num_input_tokens_seen,
        seconds=next(entry["seconds"] for entry in reversed(history) if "seconds" in entry),
        stopped_early=state.global_step < state.max_steps,
    )


def warn_of(unknown: tuple[str, ...], options: TrainingOptions, engine: str, step: Step) -> None:
    """Say which options that were changed from their defaults this engine doesn't know."""
    defaults, chosen = TrainingOptions().model_dump(), options.model_dump()
    for name in unknown:
        if name in chosen and chosen[name] != defaults[name]:
            label = TrainingOptions.label(name)
            step.warn("training.option_unknown_to_engine", option=label, engine=engine)
