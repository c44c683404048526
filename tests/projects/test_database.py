"""The database comes up to date by itself and names what is wrong with it."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from custom_ai.errors import UserError
from custom_ai.projects.database import connect, transaction
from custom_ai.projects.migrations import MIGRATIONS


def test_a_new_database_has_the_newest_schema(tmp_path: Path) -> None:
    with connect(tmp_path / "project.db") as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    with connect(tmp_path / "project.db") as db:
        db.execute("CREATE TABLE numbers (n)")
        with pytest.raises(ValueError), transaction(db):
            db.execute("INSERT INTO numbers VALUES (1)")
            raise ValueError
        assert db.execute("SELECT count(*) FROM numbers").fetchone()[0] == 0


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "project.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(UserError, match="newer version"), connect(path):
        pass


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "project.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(UserError, match=r"project\.db is damaged"), connect(path):
        pass


def _open(path: Path) -> None:
    with connect(path):
        pass


def test_two_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open, args=(tmp_path / "project.db",)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
