"""Project folders that appear complete or not at all, and that are gone in one step."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.projects.project import Project, free_place, projects_folder


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder on the disk of the projects, removed at the end of the block."""
    # A project's name never begins with a dot.
    root = projects_folder() / ".unfinished"
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = root / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def appearing(name: str) -> Iterator[Project]:
    """A new project to be filled in the block, which exists when the block ends without failure.

    Raises UserError when the name is bad or taken, also when somebody takes it meanwhile.
    """
    target = free_place(name)
    with scratch() as folder:
        whole = folder / target.name
        with files.complete_folder(whole) as partial:
            project = Project(partial)
            project.make_folders()
            yield project
        put(whole, target)


def put(folder: Path, target: Path) -> None:
    """Move a project's folder to where nothing is; raises UserError when it can't be moved."""
    try:
        os.rename(folder, target)
    except PermissionError as error:
        raise UserError("projects.cannot_move", path=folder) from error
    except OSError as error:
        # Every system has an error of its own for this.
        if target.exists() and folder.exists():
            raise UserError("projects.folder_taken", path=target) from error
        raise
    files.sync_folder(target.parent)
    files.sync_folder(folder.parent)


def _sweep(root: Path) -> None:
    """Remove what processes left that were killed."""
    for folder in root.iterdir():
        owner = folder.name.partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
