"""A run is a folder on disk; whoever wants to know about it reads the folder.

`run.json` says what was asked, `state.json` how it stands, `events.jsonl` what happened,
`control` what somebody wishes, `result.json` what came of it.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.step import Event

State = Literal[
    "queued", "running", "pausing", "paused", "finished", "failed", "cancelled", "interrupted"
]
ACTIVE: tuple[State, ...] = ("queued", "running", "pausing")

# How long whoever starts a run may take from queueing it to writing down its process.
_START_SECONDS = 10.0


@dataclass(frozen=True)
class Run:
    """One run folder, `<project>/runs/<number>-<task>`."""

    folder: Path

    @property
    def number(self) -> int:
        return int(self.folder.name.partition("-")[0])

    @property
    def task(self) -> str:
        return self.folder.name.partition("-")[2]

    @property
    def project(self) -> Project:
        return Project(self.folder.parent.parent)

    @property
    def log(self) -> Path:
        """Everything the process and its libraries printed; the place for details."""
        return self.folder / "worker.log"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    def request(self) -> dict[str, Any]:
        """What was asked: {"task", "options", "inputs", "created_at"}."""
        request: dict[str, Any] = files.read_json(self.folder / "run.json")
        return request

    def result(self) -> dict[str, Any] | None:
        """What came of it, once it is finished."""
        path = self.folder / "result.json"
        return files.read_json(path) if path.exists() else None

    @property
    def state(self) -> State:
        """How the run stands; "interrupted" when its process is gone without a last word."""
        state: State = self._words()["state"]
        if state not in ACTIVE:
            return state
        if self._alive():
            return "pausing" if self.wish() else state
        # It may have spoken its last word between the two looks.
        last: State = self._words()["state"]
        return last if last not in ACTIVE else "interrupted"

    @property
    def pid(self) -> int | None:
        """The process that works on it, while it does."""
        return self._process().get("pid") if self.state in ACTIVE else None

    def error(self) -> dict[str, Any] | None:
        """Why the run failed: the JSON shape of a UserError."""
        error: dict[str, Any] | None = self._words().get("error")
        return error

    def raise_error(self) -> None:
        """Raise the failure of the run as the UserError it was."""
        if error := self.error():
            raise UserError(error["code"], **error["values"])

    def wish(self) -> str | None:
        """What somebody asked of the run: "pause" or "cancel"."""
        path = self.folder / "control"
        try:
            return path.read_text(encoding="utf-8") or None
        except FileNotFoundError:
            return None

    def ask(self, wish: Literal["pause", "cancel"]) -> None:
        """Ask the run to pause or to end; it answers when its smallest unit is done."""
        files.write_text(self.folder / "control", wish)

    def forget_wish(self) -> None:
        (self.folder / "control").unlink(missing_ok=True)

    def set_state(self, state: State, error: dict[str, Any] | None = None) -> None:
        """Write how the run stands; for a failure with the JSON shape of its UserError."""
        words = {"state": state, "time": time.time(), "error": error}
        files.write_json(self.folder / "state.json", words)

    def set_process(self, pid: int) -> None:
        """Write which process works on the run."""
        try:
            started = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            started = 0.0
        files.write_json(self.folder / "process.json", {"pid": pid, "started": started})

    def forget_process(self) -> None:
        """Before a new process takes over: the old one must not be taken for it."""
        (self.folder / "process.json").unlink(missing_ok=True)

    def read_events(self, offset: int = 0) -> tuple[list[Event], int]:
        """The events from byte `offset` on, and where the next one will start."""
        return files.read_lines(self.events, offset)

    def _alive(self) -> bool:
        process = self._process()
        if not process:
            return time.time() - float(self._words()["time"]) < _START_SECONDS
        return _is_alive(process["pid"], process["started"])

    def _process(self) -> dict[str, Any]:
        path = self.folder / "process.json"
        return files.read_json(path) if path.exists() else {}

    def _words(self) -> dict[str, Any]:
        words: dict[str, Any] = files.read_json(self.folder / "state.json")
        return words


def all_runs(project: Project) -> list[Run]:
    """Every run of a project, oldest first. A folder a kill left half-made is none."""
    found = [
        Run(folder)
        for folder in project.runs.glob("[0-9]*-*")
        if (folder / "run.json").exists() and (folder / "state.json").exists()
    ]
    return sorted(found, key=lambda run: run.number)


def find(project: Project, number: int | None = None) -> Run:
    """The run with this number, or the newest; raises UserError when there is none."""
    runs = all_runs(project)
    for run in reversed(runs):
        if number is None or run.number == number:
            return run
    if number is None:
        raise UserError("runs.none", project=project.slug)
    known = ", ".join(str(run.number) for run in runs) or "–"
    raise UserError("runs.unknown", number=number, known=known)


def create(project: Project, task: str, options: dict[str, Any], inputs: dict[str, Any]) -> Run:
    """Make the folder of a new run, queued. It appears complete or not at all."""
    numbers = [int(f.name.split("-")[0]) for f in project.runs.glob("[0-9]*-*")]
    folder = project.runs / f"{max(numbers, default=0) + 1:04d}-{task}"
    with files.complete_folder(folder) as partial:
        request = {
            "task": task,
            "options": options,
            "inputs": inputs,
            "created_at": datetime.now(UTC).isoformat(),
        }
        files.write_json(partial / "run.json", request)
        Run(partial).set_state("queued")
    return Run(folder)


def _is_alive(pid: int, started: float) -> bool:
    # The system gives numbers of dead processes to new ones: the start time tells them apart.
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
