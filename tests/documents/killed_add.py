"""Adds documents in child processes that die at chosen moments (run by test_kill.py).

    python killed_add.py BASE FOLDER TOKENIZER OUT LIMIT

BASE is a project folder to start from, FOLDER the documents. For each chosen moment n a copy of
BASE, OUT/<n>, gets FOLDER added by a child that kills itself at its n-th event, then by one that
does not. An event is a statement of SQLite, a step of its virtual machine, or a call that opens,
renames or removes a file. All statements are chosen, of the rest as many as LIMIT allows. Prints
how many moments there were of which kind.
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from charset_normalizer import from_bytes  # noqa: F401  (imported before the counting begins)
from markdown_it import MarkdownIt

from custom_ai.documents import library, reader
from custom_ai.projects.project import Project
from custom_ai.step import Step

CALLS = {"open", "os.rename", "os.remove", "os.mkdir", "sqlite3.connect"}
STEPS = 40


def watch(report: Callable[[str], None]) -> None:
    """Report the kind of each event of this process from now on."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        # How often the memory of a process is looked up depends on the time, and changes nothing.
        if event in CALLS and not str(arguments[0]).startswith("/proc"):
            report("call")

    def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect_unwatched(*arguments, **named)
        db.set_trace_callback(lambda _: report("statement"))
        db.set_progress_handler(lambda: report("steps"), STEPS)
        return db

    connect_unwatched: Callable[..., Any] = sqlite3.connect
    setattr(sqlite3, "connect", connect)  # noqa: B010  (an assignment would not fit its type)
    sys.addaudithook(hook)


class ReadingHere:
    """Reads in this process what a ReaderProcess would read in another one."""

    def __init__(self, limits: object) -> None: ...

    def __enter__(self) -> "ReadingHere":
        return self

    def __exit__(self, *error: object) -> None: ...

    def read(self, path: Path, watch: Callable[[int, int], None]) -> reader.Parsed:
        return reader.read(path, watch)


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a fork of this process; returns its status: 0, or minus the signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(base: Path, folder: Path, tokenizer: Path, out: Path, limit: int) -> None:
    """Count the events of a whole run, then die at the chosen ones."""
    MarkdownIt("commonmark").parse("# warm")
    # What reads has nothing to lose, but its start would take most of the time: here, this very
    # process reads. With the real one kills are tried at random moments, see test_large_add.py.
    setattr(library, "ReaderProcess", ReadingHere)  # noqa: B010  (as above)

    def add(project: Path) -> None:
        step = Step(project, lambda _: None, lambda: None)
        library.add(Project(project), [folder], step, tokenizer, "tiny")

    def copy(name: str) -> Path:
        return Path(shutil.copytree(base, out / name))

    def count() -> None:
        kinds: list[str] = []
        watch(kinds.append)
        add(whole)
        kinds_now = list(kinds)
        (out / "kinds.json").write_text(json.dumps(kinds_now))

    whole = copy("whole")
    assert in_child(count) == 0
    kinds = json.loads((out / "kinds.json").read_text())
    others = [n for n, kind in enumerate(kinds, 1) if kind != "statement"]
    statements = [n for n, kind in enumerate(kinds, 1) if kind == "statement"]
    every = max(1, -(-len(others) // max(1, limit - len(statements))))
    for moment in sorted({*statements, *others[::every]}):
        project = copy(str(moment))

        def die(project: Path = project, moment: int = moment) -> None:
            seen = 0

            def report(_: str) -> None:
                nonlocal seen
                seen += 1
                if seen == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

            watch(report)
            add(project)

        assert in_child(die) == -signal.SIGKILL, moment
        assert in_child(partial(add, project)) == 0, moment
    print(json.dumps({kind: kinds.count(kind) for kind in set(kinds)}))


if __name__ == "__main__":
    base, folder, tokenizer, out = map(Path, sys.argv[1:5])
    main(base, folder, tokenizer, out, int(sys.argv[5]))
