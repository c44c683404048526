"""Which files could not be read, and still can't, as far as the project knows."""

import os
from dataclasses import dataclass
from pathlib import Path

from custom_ai.documents import originals
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.runs.run import Run, all_runs


@dataclass(frozen=True)
class FailedFile:
    """A file the documents' run `run` could not read, and why."""

    path: Path
    error: UserError
    run: int


def failures(project: Project) -> list[FailedFile]:
    """The files that failed when they were last read, by path.

    A file is no longer listed once a later run has read it, or, where it lies in the project
    itself, once it is deleted.
    """
    found: dict[Path, FailedFile] = {}
    for run in all_runs(project):
        result = run.result() if run.task == "documents" else None
        if result is None:
            continue
        asked = [_real(path) for path in _asked(run)]
        found = {path: failed for path, failed in found.items() if not _under(path, asked)}
        for failed in result["failed"]:
            path = _real(originals.located(project, failed["file"]))
            error = UserError(failed["error"]["code"], **failed["error"]["values"])
            found[path] = FailedFile(path, error, run.number)
    return [
        found[path]
        for path in sorted(found)
        if path.exists() or originals.name_of(project, path) is None
    ]


def _asked(run: Run) -> list[Path]:
    return [originals.located(run.project, path) for path in run.request()["options"]["paths"]]


def _under(path: Path, asked: list[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in asked)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
