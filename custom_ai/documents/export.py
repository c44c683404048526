"""The documents of a project as one portable SQLite file that any program can read."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from custom_ai import __version__, files
from custom_ai.documents.folders import printable
from custom_ai.errors import UserError
from custom_ai.projects import database
from custom_ai.projects.project import Project

FORMAT = 1

# Built anew instead of copied: the copy of a database keeps what was deleted from it.
_SCHEMA = (
    """
    CREATE TABLE out.documents (
        id INTEGER PRIMARY KEY,
        filename TEXT NOT NULL,
        chunk_index INTEGER NOT NULL,
        chunk_text TEXT NOT NULL,
        metadata TEXT NOT NULL,
        created_at TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE out.sources (
        id INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL UNIQUE,
        filename TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        n_pages INTEGER,
        n_chunks INTEGER NOT NULL,
        language TEXT NOT NULL,
        reader TEXT NOT NULL,
        chunking TEXT NOT NULL,
        added_at TEXT NOT NULL
    )
    """,
    "CREATE TABLE out.meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """
    CREATE VIRTUAL TABLE out.documents_fts USING fts5 (
        chunk_text, filename, content='documents', content_rowid='id',
        tokenize="unicode61 remove_diacritics 2"
    )
    """,
)
_DOCUMENTS = "id, filename, chunk_index, chunk_text, metadata, created_at"
_SOURCES = (
    "id, sha256, filename, bytes, media_type, n_pages, n_chunks, language, reader, chunking,"
    " added_at"
)


def export(project: Project, target: Path | None = None) -> Path:
    """Write the chunks, the list of documents and a full-text index into one new SQLite file.

    `target` is a file or a folder; without it, the project's data/rag_export.db. The file appears
    when it is complete, in the place of an older one; on failure nothing is left. It holds no
    path of this computer. Raises UserError when the project has no documents.
    """
    path = _target(project, target)
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}.{os.getpid()}.building")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with database.connect(project.database) as db:
            _build(db, building, project.slug)
        with closing(sqlite3.connect(building, isolation_level=None)) as built:
            built.execute("VACUUM INTO ?", (str(partial),))
        with open(partial, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, path)
    finally:
        for file in (building, partial):
            file.unlink(missing_ok=True)
            file.with_name(f"{file.name}-journal").unlink(missing_ok=True)
    files.sync_folder(path.parent)
    return path


def _target(project: Project, target: Path | None) -> Path:
    if target is None:
        return project.rag_export
    path = target.expanduser().absolute()
    if path.is_dir():
        path = path / project.rag_export.name
    if path.exists() and path.samefile(project.database):
        raise UserError("documents.export_onto_itself", path=printable(path))
    return path


def _build(db: sqlite3.Connection, building: Path, name: str) -> None:
    building.unlink(missing_ok=True)
    db.execute("ATTACH ? AS out", (str(building),))
    # The file is of no use before it is complete; it is forced to disk once, at the end.
    db.execute("PRAGMA out.journal_mode = OFF")
    db.execute("PRAGMA out.synchronous = OFF")
    with database.transaction(db):
        count = db.execute("SELECT count(*) FROM main.documents").fetchone()[0]
        if not count:
            raise UserError("documents.nothing_to_export", name=name)
        for statement in _SCHEMA:
            db.execute(statement)
        for table, columns in (("documents", _DOCUMENTS), ("sources", _SOURCES)):
            rows = f"SELECT {columns} FROM main.{table} ORDER BY id"
            db.execute(f"INSERT INTO out.{table} ({columns}) {rows}")
        db.execute("INSERT INTO out.documents_fts (documents_fts) VALUES ('rebuild')")
        meta = {
            "made_by": f"custom-ai {__version__}",
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "format": str(FORMAT),
            "project": name,
            "chunks": str(count),
        }
        db.executemany("INSERT INTO out.meta VALUES (?, ?)", meta.items())
    db.execute("DETACH out")
