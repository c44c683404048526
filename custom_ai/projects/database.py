"""The project's SQLite database: opening it the safe way and bringing it up to date."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custom_ai.errors import UserError
from custom_ai.projects.migrations import MIGRATIONS


@contextmanager
def connect(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database, migrated, for the length of a `with` block.

    Autocommit: wrap what belongs together in `with transaction(db):`. Raises UserError when the
    file is damaged or was made by a newer version.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        _prepare(db, path)
        yield db
    except sqlite3.DatabaseError as error:
        raise _explain(error, path) from error
    finally:
        db.close()


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing: commits at the end of the block, rolls back on any exception."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # A full disk may have rolled back already; the first error is the one that counts.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    # What was acknowledged must survive a power loss, not only a kill.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise UserError("projects.database_newer", path=path)
    for number in range(version, len(MIGRATIONS)):
        with transaction(db):
            # Another process may have migrated while this one waited for the lock.
            if db.execute("PRAGMA user_version").fetchone()[0] > number:
                continue
            MIGRATIONS[number](db)
            db.execute(f"PRAGMA user_version = {number + 1}")


def _explain(error: sqlite3.DatabaseError, path: Path) -> Exception:
    text = str(error).lower()
    if "disk is full" in text or text == "full":
        return UserError("errors.disk_full", path=path)
    if "readonly" in text or "unable to open" in text:
        return UserError("errors.no_permission", path=path)
    if "malformed" in text or "not a database" in text:
        return UserError("projects.database_damaged", path=path)
    if "disk i/o error" in text:
        return UserError("errors.disk_broken", path=path)
    if "locked" in text:
        return UserError("projects.database_locked", path=path)
    return error
