"""Run tasks in processes whose n-th write is the last thing they do: killed, or told "disk full".

Started by the tests as a program, so that torch is loaded once and every trial is a quick fork:

    python -m tests.faults.faulty_worker kill|full TASK OPTIONS_JSON TEMPLATE_PROJECT SCRATCH [N …]

For every n (of many, only a part) it copies the template project and starts the task with the
fault at the n-th write: opening a file for writing, writing to a log, renaming, removing, making a
folder, an SQL statement that writes. Then it does what a user does: the same command again,
without a fault. It prints one JSON line per trial and ends with the first n that is never reached.
"""

import errno
import importlib
import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.runs import tasks, worker
from custom_ai.runs.run import Run

# The first writes are all different; after that the work repeats itself for every piece.
_EVERY, _STRIDE = 30, 7

_WITH_TORCH = ("train", "export", "evaluate")

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.truncate", "shutil.rmtree"}
_FREEING = {"os.remove", "os.truncate", "shutil.rmtree"}
_SQL = ("INSERT", "UPDATE", "DELETE", "COMMIT", "BEGIN", "CREATE")


class Fault:
    """Counts the writes of this process under `folder` and strikes at the n-th."""

    def __init__(self, folder: Path, n: int, full: bool) -> None:
        self._folder, self._n, self._full = str(folder), n, full
        self._over = False
        self.count = 0

    def install(self) -> None:
        sys.addaudithook(self._hear)
        real_write = os.write

        def write(handle: int, data: Any) -> int:
            if handle > 2:
                if self.count + 1 == self._n and not self._full:
                    real_write(handle, bytes(data)[: len(data) // 2])
                self._strike()
            return real_write(handle, data)

        os.write = write
        real_connect = sqlite3.connect

        def connect(*args: Any, **options: Any) -> Any:
            db = real_connect(*args, **options)
            db.set_trace_callback(self._sql)
            return db

        setattr(sqlite3, "connect", connect)  # noqa: B010 - the types forbid it, as they should

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & _WRITING and self._mine(path):
                self._strike()
        elif event == "os.remove" and str(args[0]).endswith(".reserve"):
            # The reserve gives its space back: from here on there is room for the last word.
            self._over = self._full and self.count >= self._n
        elif event in _EVENTS and self._mine(args[0]) and not (self._full and event in _FREEING):
            self._strike()

    def _sql(self, statement: str) -> None:
        # An exception in a trace callback is swallowed: a full disk can't be played here.
        if not self._full and statement.lstrip().upper().startswith(_SQL):
            self._strike()

    def _mine(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and str(path).startswith(self._folder)

    def _strike(self) -> None:
        self.count += 1
        if self._full and self.count >= self._n and not self._over:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.count == self._n and not self._full:
            os.kill(os.getpid(), 9)


def trial(template: Path, scratch: Path, task: str, options: Any, n: int, full: bool) -> bool:
    """One fault and the same command again; False when n was never reached."""
    folder = scratch / f"{n:04d}"
    shutil.copytree(template, folder)
    project = Project(folder)
    inputs = tasks.task_named(task).inputs(project, options)
    run = runs.create(project, task, options, inputs)
    first = _in_child(run, Fault(folder, n, full))
    again = 0 if first == 0 else _in_child(run, None)
    print(
        json.dumps(
            {
                "n": n,
                "first": first,
                "again": again,
                "state": run.state,
                "result": run.result(),
                "error": (run.error() or {}).get("code"),
                "folder": str(folder),
            }
        ),
        flush=True,
    )
    return first != 0


def _in_child(run: Run, fault: Fault | None) -> int:
    """Exit code of the worker; -9 when it was killed."""
    pid = os.fork()
    if pid == 0:
        log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        run.forget_process()
        if fault:
            fault.install()
        os._exit(worker.main(str(run.folder)))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    kind, task, options, template, scratch, *numbers = sys.argv[1:]
    sqlite3.enable_callback_tracebacks(True)
    if task in _WITH_TORCH:
        # Loaded once: what a fork has, it need not load again.
        for module in ("torch", "transformers", "datasets", "peft", "trl"):
            importlib.import_module(module)
        importlib.import_module("transformers.models.llama.modeling_llama")
    wanted = [int(n) for n in numbers]
    n = 0
    while True:
        n = wanted.pop(0) if wanted else n + (1 if n < _EVERY else _STRIDE)
        if not trial(Path(template), Path(scratch), task, json.loads(options), n, kind == "full"):
            break
        if numbers and not wanted:
            break


if __name__ == "__main__":
    main()
