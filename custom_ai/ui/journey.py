"""How far a project has come: for each step of the chain, what there is and what comes next."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from custom_ai.documents import store
from custom_ai.projects.project import Project
from custom_ai.runs.run import ACTIVE, Run, all_runs

StepState = Literal["done", "running", "next", "waiting"]

# The steps in their order, each a tab of the page: a module of `tabs`. The last one is not a step
# of the chain, and has no state.
STEPS = ("documents", "model", "samples", "training", "chat", "settings")

# What was counted last, for as long as a shared corpus does not answer.
_counted: dict[Path, tuple[int, int]] = {}

# Which runs belong to which step.
_TASKS = {
    "documents": ("documents", "embed"),
    "model": ("convert",),
    "samples": ("samples", "judge"),
    "training": ("train", "export"),
    "chat": ("evaluate",),
}


@dataclass(frozen=True)
class Journey:
    """What a project holds. newest: the newest run of each task; trained: a training finished."""

    documents: int
    chunks: int
    samples: int
    trained: bool
    newest: dict[str, Run]
    active: tuple[Run, ...]

    def steps(self) -> dict[str, StepState]:
        """The state of each step that has one."""
        done = {
            "documents": self.documents > 0,
            "model": True,
            "samples": self.samples > 0,
            "training": self.trained,
            "chat": self._has_finished("evaluate"),
        }
        ready = {
            "documents": True,
            "model": True,
            "samples": self.documents > 0,
            "training": self.samples > 0,
            "chat": self.trained,
        }
        at_work = {run.task for run in self.active}
        found: dict[str, StepState] = {}
        for step in done:
            if at_work.intersection(_TASKS.get(step, ())):
                found[step] = "running"
            elif done[step]:
                found[step] = "done"
            else:
                found[step] = "next" if ready[step] else "waiting"
        return found

    def _has_finished(self, task: str) -> bool:
        run = self.newest.get(task)
        return run is not None and run.state == "finished"


def step_of(task: str) -> str | None:
    """The step at which the runs of a task are shown."""
    return next((step for step, tasks in _TASKS.items() if task in tasks), None)


def look(project: Project) -> Journey:
    """Read how far the project is."""
    documents, chunks = _count(project)
    newest: dict[str, Run] = {}
    trained = False
    for run in reversed(all_runs(project)):
        newest.setdefault(run.task, run)
        trained = trained or (run.task == "train" and run.state == "finished")
    active = tuple(run for run in newest.values() if run.state in ACTIVE)
    return Journey(documents, chunks, _count_samples(project), trained, newest, active)


def _count(project: Project) -> tuple[int, int]:
    try:
        if not store.exists(project):
            return 0, 0
        with store.open_store(project) as documents:
            found = documents.counts()
    except store.Unreachable:
        # Every second somebody asks: what is shown says why, this only keeps its place.
        return _counted.get(project.folder, (0, 0))
    _counted[project.folder] = found
    return found


def _count_samples(project: Project) -> int:
    if not project.samples.exists():
        return 0
    with open(project.samples, "rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
