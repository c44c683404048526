"""How long a training will take, told from the parts of a short one.

    start + rows · a row + epochs · (validation + questions) + saves · a save + end

- start: the process, its libraries, the model, the samples, and what the first step has to prepare.
- a row: a sample, or several packed together, that is as long as rows are on average with what
  fills up their batches; so what every step costs, however short it is, is part of it.

The steps of a short training differ; by as much a whole one may take longer or less.
"""

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass

from custom_ai.step import Event

# A load that changes from minute to minute is not seen in seconds; nor does a step say all.
_LEAST_MARGIN = 0.15
_MOST_MARGIN = 0.5
# Where only the longest samples were tried: shorter ones are a little faster, token by token.
_MARGIN_OF_ONE = 0.25


@dataclass(frozen=True)
class Extent:
    """What a whole training consists of.

    rows: of an epoch. questions: asked at each evaluation. validation: how many times the short
    training's validation the whole one is. save_steps, save_minutes: between two saves, 0 never.
    """

    steps: int
    epochs: int
    rows: int
    questions: int
    validation: float
    save_steps: int
    save_minutes: int


@dataclass(frozen=True)
class Foretold:
    """Seconds of a whole training: by part, in all, and between which bounds."""

    parts: dict[str, float]
    seconds: float
    least: float
    most: float


class Stopwatch:
    """Hears the events of a training; `took` holds the seconds of each part, in their order.

    The parts: "load", "step", "validation", "question", "save", "end".
    """

    def __init__(self, since: float | None = None) -> None:
        """since: when it all began, on the clock of `time.monotonic`; else now."""
        self.took: dict[str, list[float]] = defaultdict(list)
        self._last = time.monotonic() if since is None else since

    def hear(self, event: Event) -> None:
        """Take the time of the part that this event ends; most events end none."""
        if part := _part(event):
            self.lap(part)

    def lap(self, part: str) -> None:
        """What was done since the last part was this one."""
        now = time.monotonic()
        self.took[part].append(now - self._last)
        self._last = now


def foretell(took: dict[str, list[float]], start: float, row: float, extent: Extent) -> Foretold:
    """The times of a whole training.

    took: the parts of a short one, see `Stopwatch`. start: seconds before its first step.
    row: seconds a row takes in a step.
    """
    typical = took["step"][1:] or took["step"]
    looks = extent.epochs * extent.validation * _mean(took.get("validation", []))
    asked = extent.epochs * extent.questions if extent.validation else 0
    parts = {
        "start": start,
        "steps": row * extent.rows * extent.epochs,
        "validation": looks + asked * _mean(took.get("question", [])),
        "end": _mean(took.get("end", [])),
    }
    saves = extent.epochs + (extent.steps // extent.save_steps if extent.save_steps else 0)
    if extent.save_minutes:
        saves += int(sum(parts.values()) / (60 * extent.save_minutes))
    parts["saves"] = saves * _mean(took.get("save", []))
    seconds = sum(parts.values())
    margin = _MARGIN_OF_ONE
    if len(typical) > 1:
        spread = statistics.stdev(typical) / statistics.mean(typical)
        margin = min(_MOST_MARGIN, max(_LEAST_MARGIN, spread))
    return Foretold(parts, seconds, seconds * (1 - margin), seconds * (1 + margin))


def _part(event: Event) -> str | None:
    kind = event["kind"]
    if kind == "log" and event["code"] == "training.begins":
        return "load"
    if kind == "metric":
        return "step" if "loss" in event else "validation"
    return {"answer": "question", "checkpoint": "save"}.get(kind)


def _mean(values: list[float]) -> float:
    return statistics.mean(values) if values else 0.0
