"""Documents as a file for other programs: what a format is, and how a file comes into being.

A format is one file in `exporters`. Its name is the format's name, and it holds one object
`exporter` (see `Exporter`).
"""

import importlib
import os
import pkgutil
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psutil

from custom_ai import __version__, files
from custom_ai.documents import contents, exporters
from custom_ai.documents.contents import Contents
from custom_ai.documents.folders import printable
from custom_ai.errors import UserError
from custom_ai.projects.project import Project

DEFAULT = "sqlite"
# Goes up when the tables or fields change.
VERSION = 2


class Exporter(Protocol):
    """Writes one kind of file; `custom_ai/documents/exporters/<name>.py` holds one as `exporter`.

    filename: of the file in the project's data folder. media_type: for a download.
    """

    @property
    def filename(self) -> str: ...

    @property
    def media_type(self) -> str: ...

    def unavailable(self) -> str | None:
        """None, or the packages to install first, as pip takes them."""
        ...

    def write(self, documents: Contents, path: Path) -> None:
        """Write the file; more files may lie beside it, the folder is removed afterwards.

        Raises UserError when the documents lack what the format needs.
        """
        ...

    def count(self, path: Path) -> int:
        """How many chunks such a file holds; 0 when it is none."""
        ...


def names() -> list[str]:
    """Every format, by the names of the files; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(exporters.__path__))


def find(name: str) -> Exporter:
    """The exporter of that name; raises UserError for an unknown one."""
    if name not in names():
        raise UserError("documents.unknown_format", name=name, known=", ".join(names()))
    exporter: Exporter = importlib.import_module(f"{exporters.__name__}.{name}").exporter
    return exporter


def place(project: Project, name: str = DEFAULT) -> Path:
    """Where the export of that format lies in the project."""
    return project.rag_export.with_name(find(name).filename)


def export(project: Project, target: Path | None = None, name: str = DEFAULT) -> Path:
    """Write all chunks of the project into one new file of that format.

    `target` is a file or a folder; without it, `place` says where. The file appears when it is
    complete, in the place of an older one; on failure nothing is left. It holds no path of this
    computer. Raises UserError when the project has no documents, or not what the format needs.
    """
    exporter = find(name)
    if missing := exporter.unavailable():
        raise UserError("documents.exporter_unavailable", name=name, packages=missing)
    path = _target(project, target, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _folder_beside(path) as folder, contents.read(project) as documents:
        if not documents.chunk_count:
            raise UserError("documents.nothing_to_export", name=project.slug)
        exporter.write(documents, folder / path.name)
        with open(folder / path.name, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(folder / path.name, path)
    files.sync_folder(path.parent)
    return path


def is_current(project: Project, name: str = DEFAULT) -> bool:
    """Whether the export in the project holds its documents as they are now."""
    path = place(project, name)
    if not path.exists():
        return False
    with contents.read(project) as documents:
        # Documents that were added show by their time, removed ones by the number of chunks.
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
        return written >= documents.newest and find(name).count(path) == documents.chunk_count


def count_rows(path: Path, table: str) -> int:
    """How many rows a table of a SQLite file has; 0 when the file is none."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    except sqlite3.DatabaseError:
        return 0  # somebody put another file in its place


def origin(documents: Contents) -> dict[str, str]:
    """What made an export, for the formats that have a place to say it."""
    return {
        "made_by": f"custom-ai {__version__}",
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "format": str(VERSION),
        "project": documents.name,
        "chunks": str(documents.chunk_count),
    }


def _target(project: Project, target: Path | None, name: str) -> Path:
    if target is None:
        return place(project, name)
    path = target.expanduser().absolute()
    if path.is_dir():
        path = path / find(name).filename
    if path.exists() and project.database.exists() and path.samefile(project.database):
        raise UserError("documents.export_onto_itself", path=printable(path))
    return path


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A hidden folder on the same disk, gone afterwards."""
    for left in path.parent.glob(".custom-ai-export-*"):
        owner = left.name.rpartition("-")[2]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)  # of a process that was killed
    folder = path.with_name(f".custom-ai-export-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
