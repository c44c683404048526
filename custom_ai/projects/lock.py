"""One writer per project: a lock of the operating system, which a dead owner does not hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

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
    owner = project.lock.with_name(".lock-owner.json")
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


def _busy(project: Project) -> UserError:
    owner = project.lock.with_name(".lock-owner.json")
    # The owner may be between taking the lock and saying who it is.
    who = files.read_json(owner) if owner.exists() else {}
    return UserError(
        "projects.busy",
        name=project.slug,
        purpose=who.get("purpose", "?"),
        pid=who.get("pid", "?"),
        since=who.get("since", "?"),
    )
