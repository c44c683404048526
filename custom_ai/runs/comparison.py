"""Trainings side by side: what they did differently, their curves, and which was best at what.

Plain data, from which the app, the command line and reports draw.
"""

from dataclasses import asdict, dataclass
from typing import Any

from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.runs.run import Run
from custom_ai.training.config import WITHOUT_EFFECT, TrainingOptions

CURVES = ("loss", "eval_loss", "learning_rate", "grad_norm", "tokens_per_second", "memory")

# What is compared, and whether more of it is better.
MEASURES = {"eval_loss": False, "loss": False, "seconds": False, "tokens_per_second": True}

Point = tuple[int, float]


@dataclass(frozen=True)
class Compared:
    """One training. settings: only those that differ among the trainings compared, by name.

    curves: [step, value] of each measured quantity; after a kill the last measurement of a step
    counts. measures: lowest validation loss, last loss, seconds at work, median tokens a second.
    """

    number: int
    state: str
    settings: dict[str, Any]
    curves: dict[str, list[Point]]
    measures: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """best: by measure, the number of the training that was best; only what two or more have."""

    trainings: list[Compared]
    best: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """A JSON object with these names."""
        return asdict(self)


def trainings(project: Project) -> list[Run]:
    """Every training of a project, oldest first."""
    return [run for run in runs.all_runs(project) if run.task == "train"]


def compare(project: Project, numbers: list[int]) -> Comparison:
    """Compare these trainings, or all of them where none is named; UserError for an unknown one."""
    every = {run.number: run for run in trainings(project)}
    for number in numbers:
        if number not in every:
            known = ", ".join(map(str, every)) or "–"
            raise UserError("runs.unknown_training", number=number, known=known)
    chosen = [every[number] for number in numbers] if numbers else list(every.values())
    asked = [settings(run) for run in chosen]
    differing = differing_settings(asked)
    found = []
    for run, options in zip(chosen, asked, strict=True):
        curves, _ = read_curves(run)
        own = {name: options[name] for name in differing}
        found.append(Compared(run.number, run.state, own, curves, _measures(run, curves)))
    return Comparison(found, _best(found))


def settings(run: Run) -> dict[str, Any]:
    """What a training was asked for, and what it depended on; without what changes nothing."""
    request = run.request()
    options = {**TrainingOptions().model_dump(), **request["options"]}
    kept = {name: value for name, value in options.items() if name not in WITHOUT_EFFECT}
    return {**kept, "base_model": request["inputs"]["base_model"], "samples": _samples(request)}


def differing_settings(asked: list[dict[str, Any]]) -> list[str]:
    """The names of the settings that are not the same in all."""
    names = list(asked[0]) if asked else []
    return [name for name in names if any(one[name] != asked[0][name] for one in asked)]


def read_curves(run: Run, after: int = 0) -> tuple[dict[str, list[Point]], int]:
    """The measured points of a training, from byte `after` of its events on; and where they end."""
    points: dict[str, dict[int, float]] = {name: {} for name in CURVES}
    events, end = run.read_events(after)
    for event in events:
        if event.get("kind") == "metric":
            for name in CURVES:
                if name in event:
                    points[name][event["step"]] = event[name]
    return {name: sorted(found.items()) for name, found in points.items()}, end


def _measures(run: Run, curves: dict[str, list[Point]]) -> dict[str, float]:
    found: dict[str, float] = {}
    if curves["eval_loss"]:
        found["eval_loss"] = min(value for _, value in curves["eval_loss"])
    if curves["loss"]:
        found["loss"] = curves["loss"][-1][1]
        pace = sorted(value for _, value in curves["tokens_per_second"])
        found["tokens_per_second"] = pace[len(pace) // 2]
    if result := run.result():
        found["seconds"] = result["seconds"]
    return found


def _best(found: list[Compared]) -> dict[str, int]:
    best = {}
    for name, more in MEASURES.items():
        having = [one for one in found if name in one.measures]
        if len(having) > 1:
            choose = max if more else min
            best[name] = choose(having, key=lambda one: one.measures[name]).number
    return best


def _samples(request: dict[str, Any]) -> str:
    # Enough of the digest to see that they are others.
    return str(request["inputs"]["samples"])[:8]
