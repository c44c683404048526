"""The database comes up to date by itself and names what is wrong with it."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from custom_ai.documents import library
from custom_ai.documents.search import search
from custom_ai.errors import UserError
from custom_ai.projects.database import connect, transaction
from custom_ai.projects.migrations import MIGRATIONS
from custom_ai.projects.project import Project


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


def test_a_database_of_the_first_version_is_searched_like_a_new_one(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.database.parent.mkdir()
    old = sqlite3.connect(project.database)
    MIGRATIONS[0](old)
    old.execute(
        "INSERT INTO sources (sha256, path, filename, bytes, media_type, n_chunks, language,"
        " reader, chunking, text, added_at)"
        " VALUES ('1', '/a.md', 'a.md', 1, '', 1, '', '', '', '', '')"
    )
    metadata = '{"page_start": 3, "heading_path": ["Größe", "Fußgänger"]}'
    old.execute(
        "INSERT INTO documents (filename, chunk_index, chunk_text, metadata, created_at, source_id)"
        " VALUES ('a.md', 0, 'Die Paketverwaltungswerkzeuge der Häuser', ?, '', 1)",
        (metadata,),
    )
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    for query in ("Häuser", "hauser", "Verwaltung", "fussgaenger", "Größe", "a.md"):
        assert [hit.page for hit in search(project, query)] == [3], query
    library.remove(project, 1)
    with connect(project.database) as db:
        assert db.execute("SELECT count(*) FROM words").fetchone()[0] == 0
        db.execute("INSERT INTO documents_fts (documents_fts, rank) VALUES ('integrity-check', 1)")
        db.execute("INSERT INTO words_fts (words_fts, rank) VALUES ('integrity-check', 1)")
