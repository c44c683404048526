"""What a step of the chain may know of the world: report what happens, ask whether to stop.

A step (reading documents, writing samples, training, exporting, evaluating) is a plain function
that gets a `Step`. It knows nothing of processes, files of events or screens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from custom_ai.errors import Stopped

Wish = Literal["pause", "cancel"]
Kind = Literal[
    "progress", "metric", "log", "sample", "answer", "checkpoint", "warning", "error", "state"
]
Event = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """The surroundings of one step.

    folder: where the step keeps what it needs to continue after an interruption.
    report: takes one event, a JSON object with at least "kind" (see `Kind`).
    should_stop: None, or what somebody asked for; a step finishes its smallest unit of work,
        saves, and raises `Stopped` (see `stop_if_asked`).
    """

    folder: Path
    report: Callable[[Event], None]
    should_stop: Callable[[], Wish | None]

    def progress(self, done: float, total: float, unit: str, **details: Any) -> None:
        """Report how far the step is: `done` of `total` pieces; `unit` names the piece."""
        self.report({"kind": "progress", "done": done, "total": total, "unit": unit, **details})

    def log(self, code: str, **values: Any) -> None:
        """Report a line for people: a key of the texts with its values."""
        self.report({"kind": "log", "code": code, "values": _as_text(values)})

    def warn(self, code: str, **values: Any) -> None:
        """As log, for something people should act on."""
        self.report({"kind": "warning", "code": code, "values": _as_text(values)})

    def stop_if_asked(self) -> None:
        """Raise `Stopped` when somebody asked for a pause or for the end."""
        if wish := self.should_stop():
            raise Stopped(wish)


def _as_text(values: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
