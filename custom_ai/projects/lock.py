"""One writer per project: a lock of the operating system, which a dead owner does not hold."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import filelock

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.projects.project import Project


@contextmanager
def writing(project: Project, purpose: str) -> Iterator[None]:
    """Be the project's only writer for the length of the block.

    `purpose` tells others who is at work. Raises UserError at once when somebody else is.
    """
    lock = filelock.FileLock(project.lock, timeout=0)
    owner = _owner(project)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise _busy(project) from error
    try:
        now = datetime.now().astimezone().strftime("%H:%M")
        files.write_json(owner, {"purpose": purpose, "pid": os.getpid(), "since": now})
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


@contextmanager
def starting(project: Project) -> Iterator[None]:
    """Be the only one who starts a run of the project: two clicks, windows or programs at once."""
    with filelock.FileLock(project.lock.with_name(".start-lock")):
        yield


@contextmanager
def moving(project: Project, purpose: str) -> Iterator[None]:
    """As `writing`, for a block that moves the project's folder.

    Windows moves no folder in which a file is open, as our own lock is. There the lock is given
    back before the block: moving the folder away from a writer who came meanwhile fails by itself.
    """
    with writing(project, purpose):
        # It would be left behind in the folder's new place.
        _owner(project).unlink()
        if sys.platform != "win32":
            yield
            return
    yield


def _owner(project: Project) -> Path:
    return project.lock.with_name(".lock-owner.json")


def _busy(project: Project) -> UserError:
    owner = _owner(project)
    # The owner may be between taking the lock and saying who it is.
    who = files.read_json(owner) if owner.exists() else {}
    return UserError(
        "projects.busy",
        name=project.slug,
        purpose=who.get("purpose", "?"),
        pid=who.get("pid", "?"),
        since=who.get("since", "?"),
    )
