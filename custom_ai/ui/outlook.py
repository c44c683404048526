"""What a training would take, before it starts: steps, time, memory."""

from dataclasses import dataclass

from custom_ai import hardware
from custom_ai.datasets.derive import current_samples
from custom_ai.datasets.sample import read_samples
from custom_ai.models import facts
from custom_ai.models.catalogue import named
from custom_ai.projects.project import Project
from custom_ai.runs.run import all_runs
from custom_ai.settings import home
from custom_ai.training import estimate
from custom_ai.training.config import TrainingOptions


@dataclass(frozen=True)
class Outlook:
    """samples: that are learnt from. seconds: None while no training of this model was measured.

    memory: None while nothing is known of the model but its name.
    """

    samples: int
    steps: int
    seconds: float | None
    memory: estimate.Outlook | None


def look_ahead(project: Project, options: TrainingOptions) -> Outlook:
    """What a training of the project as it is now would take."""
    samples = sum(1 for _ in read_samples(current_samples(project), "train"))
    steps = -(-samples // _per_step(options)) * options.epochs
    shape = facts.look_up(named(project.config.base_model)).shape
    memory = None
    if shape:
        memory = estimate.look_ahead(shape, options, hardware.detect(home()))
    pace = _pace(project)
    seconds = pace * steps * _per_step(options) if pace else None
    return Outlook(samples, steps, seconds, memory)


def _per_step(options: TrainingOptions) -> int:
    return options.batch_size * options.gradient_accumulation


def _pace(project: Project) -> float | None:
    """Seconds a sample took in the newest finished training of this base model."""
    for run in reversed(all_runs(project)):
        result = run.result() if run.task == "train" else None
        if result and result["base_model"] == project.config.base_model and result["steps"]:
            before = TrainingOptions.parse(run.request()["options"])
            seconds: float = result["seconds"]
            return seconds / (int(result["steps"]) * _per_step(before))
    return None
