"""Documents in a SQLite file in the project's own folder: nothing to set up, nothing to run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custom_ai.documents.store import Store
from custom_ai.documents.stores.sqlite.documents import SqliteStore
from custom_ai.projects import database
from custom_ai.projects.project import Project


class SqliteKind:
    """The file is `Project.database`; `custom_ai/projects/migrations.py` has its tables."""

    @contextmanager
    def open(self, project: Project) -> Iterator[Store]:
        """Open the file, made or brought up to date where it has to be."""
        with database.connect(project.database) as db:
            yield SqliteStore(db, project.database)

    def exists(self, project: Project) -> bool:
        """Whether the file is there."""
        return project.database.exists()

    def version(self, project: Project) -> str:
        """When the file and its journal were written last."""
        wal = project.database.with_name(f"{project.database.name}-wal")
        return f"{_version(project.database)}{_version(wal)}"


def _version(path: Path) -> str:
    try:
        status = path.stat()
    except FileNotFoundError:
        return "-"
    return f"{status.st_mtime_ns:x}.{status.st_size:x}"


kind = SqliteKind()
