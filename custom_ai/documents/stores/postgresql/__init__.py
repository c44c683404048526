"""Documents in a PostgreSQL database: a corpus that several projects, and several people, share.

A corpus is one schema of the database, `custom_ai_<name>`; every project that names it reads and
writes the same documents. What stays in a project is the files that were put into it, its samples,
its runs and its models.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from custom_ai.documents.store import Store
from custom_ai.documents.stores.postgresql.connection import connected
from custom_ai.documents.stores.postgresql.documents import PostgresStore
from custom_ai.projects.project import Project


class PostgresKind:
    """The address of the server stands in the settings, the password in the system's keyring."""

    @contextmanager
    def open(self, project: Project) -> Iterator[Store]:
        """Connect to the corpus, made or brought up to date where it has to be."""
        config = project.config
        with connected(config.corpus) as db:
            yield PostgresStore(db, _origin(config.created_at))

    def exists(self, project: Project) -> bool:
        """Whether there are documents is only known there."""
        return True

    def version(self, project: Project) -> str:
        """How often the corpus has been changed."""
        with connected(project.config.corpus) as db:
            return str(db.value("SELECT stamp FROM corpus"))


def _origin(created_at: str) -> str:
    """What tells the files of one project from those of all others: the moment it was made at, to
    the microsecond. It stays when the project is renamed or moved, and a copy has another."""
    return hashlib.sha256(created_at.encode()).hexdigest()[:16]


kind = PostgresKind()
