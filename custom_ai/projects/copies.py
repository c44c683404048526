"""A copy of a project: what belongs to it, its database as of one moment, a project of its own."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from custom_ai.errors import UserError
from custom_ai.projects import database
from custom_ai.projects.lock import writing
from custom_ai.projects.project import Project, find
from custom_ai.projects.staging import appearing

# What a copy is given by whoever knows more of a project than this package does.
Finish = Callable[[Project], None]

# What a killed process leaves beside a file it was about to write.
_HALF_FILE = re.compile(r"\..+\.\d+\.(tmp|building|partial)(-journal)?")


def duplicate(project: Project, name: str, finish: Finish) -> Project:
    """Make a project of another name with the same content; complete or not at all.

    `finish` does the last things to the copy before it appears (see `runs/idle.py`). Raises
    UserError when the name is bad or taken, or when somebody is at work in the project.
    """
    with writing(project, "duplicate"), appearing(name) as copy:
        for path, inside in contents(project):
            target = copy.folder / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        copy_database(project, copy.database)
        copy.change(name=name.strip(), created_at=datetime.now(UTC).isoformat())
        finish(copy)
    return find(name)


def contents(project: Project) -> Iterator[tuple[Path, str]]:
    """Every file of a project with its place in it, by name: all but locks, the database and what
    is half made. Raises UserError for a link to a folder: what it leads to would be missing.
    """
    left_out = {project.lock.name, ".lock-owner.json", ".start-lock"}
    left_out |= {f"{project.database.name}{end}" for end in ("", "-wal", "-shm", "-journal")}
    for parent, folders, names in os.walk(project.folder, onerror=_fail):
        place = Path(parent).relative_to(project.folder)
        if place.parts[:1] in (("runs",), ("models",)):
            folders[:] = [name for name in folders if not name.endswith(".partial")]
        folders.sort()
        for name in folders:
            if Path(parent, name).is_symlink():
                raise UserError("projects.link_inside", path=Path(parent, name))
        for name in sorted(names):
            own = place in (Path(), Path("data")) and name in left_out
            if not own and not _HALF_FILE.fullmatch(name):
                yield Path(parent, name), (place / name).as_posix()


def copy_database(project: Project, target: Path) -> None:
    """Copy the database as it is at this moment, whoever reads or wrote it; none stays none."""
    if not project.database.exists():
        return
    with database.connect(project.database) as db, closing(sqlite3.connect(target)) as copy:
        db.backup(copy)


def _fail(error: OSError) -> None:
    raise error
