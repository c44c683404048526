"""A fault at every write of a piece of work, in children of this process: killed, or disk full."""

import errno
import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from custom_ai.projects.project import Project

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_FILLING = {"os.rename", "os.mkdir", "shutil.copyfile"}
_FREEING = {"os.remove", "os.rmdir", "shutil.rmtree"}


def at_every_write(work: Callable[[], Any], fault: str) -> Iterator[int]:
    """Do the work in a child that fails at its n-th write, for n from 1 on; yields after each.

    fault: "kill", or "full" for a disk without room from then on. Ends when n is never reached.
    """
    n = 0
    while True:
        n += 1
        child = os.fork()
        if child == 0:
            # What it says of its failure is no failure of the test.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            _install(n, fault)
            try:
                work()
            except BaseException:
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        assert status == (-signal.SIGKILL if fault == "kill" else 1), status
        yield n


def _install(n: int, fault: str) -> None:
    seen = 0

    def strike() -> None:
        nonlocal seen
        seen += 1
        if fault == "kill" and seen == n:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "full" and seen >= n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def hear(event: str, args: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(args[2], int) and args[2] & _WRITING
        if opened and str(args[0]) == os.devnull:
            return
        if opened or event in _FILLING or (fault == "kill" and event in _FREEING):
            strike()

    def fsync(handle: int) -> None:
        strike()
        real_fsync(handle)

    real_fsync = os.fsync
    setattr(os, "fsync", fsync)  # noqa: B010 - the types forbid it, as they should
    sys.addaudithook(hear)


def tree(project: Project) -> dict[str, str]:
    """Every whole file of a project but locks and SQLite's own, with what it holds."""
    own = (".lock", ".lock-owner.json", "project.db-wal", "project.db-shm")
    return {
        path.relative_to(project.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(project.folder.rglob("*"))
        if path.is_file() and path.name not in own and path.suffix != ".tmp"
    }
