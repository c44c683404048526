"""A training that another program carries out: started, followed and ended from here.

The program is run by an interpreter of its own and shares nothing with us but a folder of files,
see `unsloth_worker`. What it tells goes through a `Course`, as if it had happened here: the same
events, the same checkpoints, written by us. So a save of the program counts only once it is a
checkpoint of ours, whole and verified.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from custom_ai import child
from custom_ai.errors import Stopped, UserError
from custom_ai.files import read_lines, sync_folder, write_json
from custom_ai.step import Step
from custom_ai.training import memory
from custom_ai.training.course import Course

Event = dict[str, Any]

_POLL_SECONDS = 0.05
# How much of what it printed last stands in an error.
_LAST_WORDS = 300


class EngineProcess:
    """One session of the program on a job folder; a context manager that ends it."""

    def __init__(self, command: Sequence[str], folder: Path, step: Step, on_card: bool) -> None:
        """on_card: whether it may compute on a graphics card; if not, it sees none."""
        self.folder = folder
        self.log = folder / "log.txt"
        self._step = step
        self._offset = 0
        self._wished: str | None = None
        self._begun = False
        self._theirs = memory.Used(0, 0)
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [*command, str(folder)],
                # It ends when this pipe does, so with us, however we end.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=_environment(on_card),
                **child.detached(),
            )

    def __enter__(self) -> "EngineProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def events(self) -> Iterator[Event]:
        """What it tells, as it comes, until it is done. Raises Stopped and UserError."""
        while True:
            # First whether it lives: what it said before its end is then never missed.
            ended = self._process.poll()
            found, self._offset = read_lines(self.folder / "events.jsonl", self._offset)
            for event in found:
                yield self._heard(event)
                if event["kind"] == "done":
                    return
            if ended is not None:
                raise self._died(ended)
            self._pass_on_wishes()
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """End the process; what it has not told is lost, its saves are not needed."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _heard(self, event: Event) -> Event:
        if event["kind"] == "begin":
            self._begun = True
        elif event["kind"] == "stopped":
            raise Stopped(self._wished or "pause")
        elif event["kind"] == "error":
            raise self._failed(event["error"], event["reason"])
        elif event["kind"] == "log":
            return {**event, "used": self._used(memory.Used(**event["card"]))}
        return event

    def _used(self, card: memory.Used) -> memory.Used:
        """Of the card, where it computes on one; else of the computer by both processes."""
        if card.peak:
            return card
        # One that has ended since takes nothing any more.
        with contextlib.suppress(psutil.Error):
            self._theirs = memory.used(self._process.pid)
        ours = memory.used()
        return memory.Used(*(mine + its for mine, its in zip(ours, self._theirs, strict=True)))

    def _pass_on_wishes(self) -> None:
        wish = self._step.should_stop()
        if wish is None:
            return
        # Before it has begun there is nothing to save, and nobody waits for a cancelled one.
        if wish == "cancel" or not self._begun:
            raise Stopped(wish)
        if self._wished is None:
            self._wished = wish
            (self.folder / "control").write_text(wish, "utf-8")

    def _failed(self, kind: str, reason: str) -> UserError:
        if kind == "memory":
            return UserError("training.out_of_memory")
        if kind == "disk":
            return UserError("errors.disk_full", path=self.folder)
        code = "training.engine_packages" if kind == "packages" else "training.engine_failed"
        return UserError(code, reason=reason, log=self.log)

    def _died(self, code: int) -> UserError:
        """It ended without a last word. The system kills (9) a process when memory runs out."""
        if code in (-9, 137):
            return UserError("training.engine_killed", log=self.log)
        text = self.log.read_text("utf-8", errors="replace").strip()
        return UserError("training.engine_failed", reason=text[-_LAST_WORDS:] or code, log=self.log)


def _environment(on_card: bool) -> dict[str, str]:
    """Ours, without keys, without our packages, and with nobody on the network told about it."""
    # One process drives one card.
    card = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if on_card else ""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and k not in dropped}
    quiet = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "UNSLOTH_DISABLE_STATISTICS")
    return {
        **kept,
        **dict.fromkeys(quiet, "1"),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUTF8": "1",
        "PYTHONNOUSERSITE": "1",
        "CUDA_VISIBLE_DEVICES": card,
    }


def prepare(folder: Path, job: dict[str, Any], rows: dict[str, list[Any]]) -> None:
    """Write what the program works on; whatever an earlier session left there is removed.

    rows: the encoded samples of each split.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with open(folder / "samples.jsonl", "w", encoding="utf-8") as stream:
        for split, samples in rows.items():
            for sample in samples:
                row = {"split": split, "input_ids": sample.input_ids, "labels": sample.labels}
                stream.write(json.dumps(row) + "\n")
    write_json(folder / "job.json", job)


class Follower:
    """Makes a course of what the program tells. state: as its trainer's, kept up event by event."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.state = SimpleNamespace(log_history=[])
        self._save: Path | None = None

    def follow(self, event: Event, course: Course) -> None:
        """Let the course see one event; may raise UserError for a training that blew up."""
        for name, value in event.get("state", {}).items():
            setattr(self.state, name, value)
        if event["kind"] == "begin":
            self.state.log_history = event["history"]
            course.on_train_begin(self.state)
        elif event["kind"] == "log":
            self.state.log_history.append(event["logs"])
            course.on_log(self.state, event["logs"], (event["logs"]["seconds"], event["used"]))
            if "eval_loss" in event["logs"]:
                # The program ends by itself where no more is to be had; the course says so.
                course.on_evaluate(self.state, SimpleNamespace())
        elif event["kind"] == "saved":
            self._save = self._folder / "saves" / event["name"]
            course.save(self.state)
            shutil.rmtree(self._save)

    def put_state(self, target: Path) -> None:
        """Move the state of the save that is being taken over into a checkpoint."""
        assert self._save is not None
        for path in sorted((self._save / "state").iterdir()):
            os.replace(path, target / path.name)
        sync_folder(target)

    def put_adapter(self, target: Path) -> None:
        """Copy the adapter of the save that is being taken over."""
        assert self._save is not None
        shutil.copytree(self._save / "adapter", target, dirs_exist_ok=True)
