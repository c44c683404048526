"""Run by the tests in a process without threads: generate that dies, or runs out of disk.

    python dying_generate.py kill|full|random BASE_URL TEMPLATE_PROJECT SCRATCH [TRIALS]

Each trial works on a copy of the template in a child of its own: first with the fault, then
without. Prints one JSON line a trial.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from custom_ai.datasets.generate import GenerateOptions, generate
from custom_ai.projects.project import Project
from custom_ai.providers.provider import find
from custom_ai.step import Step

MODES = ("before", "torn", "after")
CONCURRENCY = 3


def run(
    project: Project, url: str, on_event: Any = lambda _: None, concurrency: int = CONCURRENCY
) -> None:
    options = GenerateOptions(
        count=24,
        model="maker/model",
        base_url=url,
        concurrency=concurrency,
        retry_delay=0.01,
        pairs_per_request=4,
        wait_for_server=0,
    )
    generate(project, "openrouter", options, Step(project.folder, on_event, lambda: None))


def in_child(work: Any) -> int:
    """The exit status of `work` in a child: -9 when it was killed, 3 for a failure of the disk."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except OSError:
            code = 3
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die_at(number: int, mode: str) -> None:
    """From now on the process dies at the n-th write to the journal."""
    real = os.write
    written = 0

    def write(handle: int, data: Any) -> int:
        nonlocal written
        if os.readlink(f"/proc/self/fd/{handle}").endswith("sft_journal.jsonl"):
            written += 1
            if written == number:
                if mode != "before":
                    real(handle, data if mode == "after" else data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
        return real(handle, data)

    os.write = write


def die_after(seconds: float) -> None:
    """This process is killed from outside so many seconds from now, wherever it is then."""
    if os.fork() == 0:
        time.sleep(seconds)
        # Also when the parent is done meanwhile: its number is not given away before it is waited
        # for, and a kill of a process that has ended does nothing.
        os.kill(os.getppid(), signal.SIGKILL) if os.getppid() != 1 else None
        os._exit(0)


def once(work: Callable[[float], None], seconds: float) -> Any:
    """An event handler that does it at the first event, just before the first request."""
    begun: list[float] = []

    def on_event(_: Any) -> None:
        if not begun:
            begun.append(seconds)
            work(seconds)

    return on_event


def fill_disk(project: Project, room: int) -> Any:
    """An event handler that lets files grow by `room` bytes, from the first event on."""

    def on_event(_: Any) -> None:
        if resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY:
            limit = project.journal.stat().st_size + room
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    return on_event


def main(kind: str, url: str, template: Path, scratch: Path, count: int = 0) -> None:
    find("openrouter")
    trials: list[tuple[str, int]]
    if kind == "kill":
        trials = [(mode, number) for number in range(1, 40) for mode in MODES]
    elif kind == "random":
        trials = [("random", number) for number in range(count)]
    else:
        trials = [("full", room) for room in range(0, 9000, 700)]
    for mode, number in trials:
        project = Project(scratch / f"{mode}-{number}")
        shutil.copytree(template, project.folder)

        def fail(project: Project = project, mode: str = mode, number: int = number) -> None:
            if mode == "random":
                run(project, url, once(die_after, random.Random(number).uniform(0.0, 0.3)))
            elif mode == "full":
                run(project, url, fill_disk(project, number))
            else:
                die_at(number, mode)
                # One at a time, so that each answer is a write of its own.
                run(project, url, concurrency=1)

        first = in_child(fail)
        # Killed very early, there is none yet.
        journal = project.journal.read_bytes() if project.journal.exists() else b""
        second = in_child(lambda project=project: run(project, url))
        shown = {"mode": mode, "number": number, "first": first, "second": second}
        print(json.dumps({**shown, "journal": journal.decode("utf-8", "replace")}), flush=True)
        if first == 0 and mode != "random":
            break


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), *map(int, sys.argv[5:]))
