"""One portable SQLite file that any program can read, with a full-text index."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from custom_ai.documents.contents import ChunkRow, Contents, EmbeddingRow, SourceRow
from custom_ai.documents.exporter import count_rows, origin
from custom_ai.texts import LANGUAGES, t

# Built anew instead of copied: the copy of a database keeps what was deleted from it. And without
# any table that needs an extension: a reader that hasn't got it could not even list the others.
# Datasette finds a full-text index by the double quotes around the table's name.
_SCHEMA = """
    CREATE TABLE documents (
        id INTEGER PRIMARY KEY,
        filename TEXT NOT NULL,
        chunk_index INTEGER NOT NULL,
        chunk_text TEXT NOT NULL,
        metadata TEXT NOT NULL,
        created_at TEXT NOT NULL
    );
    CREATE TABLE sources (
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
    );
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE readme (language TEXT PRIMARY KEY, text TEXT NOT NULL);
    CREATE VIRTUAL TABLE documents_fts USING fts5 (
        chunk_text, filename, content="documents", content_rowid="id",
        tokenize="unicode61 remove_diacritics 2"
    );
    CREATE VIEW chunks_flat AS
        SELECT
            filename,
            json_extract(metadata, '$.page_start') AS page,
            (SELECT group_concat(value, ' › ') FROM json_each(metadata, '$.heading_path'))
                AS heading,
            chunk_text AS text
        FROM documents ORDER BY id;
"""
_EMBEDDINGS = """
    CREATE TABLE embeddings (
        document_id INTEGER NOT NULL REFERENCES documents(id),
        model TEXT NOT NULL,
        dimension INTEGER NOT NULL,
        vector BLOB NOT NULL, -- float32, little endian
        PRIMARY KEY (document_id, model)
    ) WITHOUT ROWID;
"""


class SqliteExporter:
    """Tables documents, sources, embeddings (if any), documents_fts, meta, readme; view
    chunks_flat."""

    filename = "rag_export.db"
    media_type = "application/vnd.sqlite3"

    def unavailable(self) -> str | None:
        """None: it needs nothing."""
        return None

    def write(self, documents: Contents, path: Path) -> None:
        """Write the file, packed."""
        building = path.with_name(f"{path.name}.building")
        with closing(sqlite3.connect(building, isolation_level=None)) as db:
            # The file is of no use before it is complete; it is forced to disk once, at the end.
            db.execute("PRAGMA journal_mode = OFF")
            db.execute("PRAGMA synchronous = OFF")
            db.executescript(_SCHEMA)
            db.execute("BEGIN")
            _insert(db, "sources", SourceRow._fields, documents.sources())
            _insert(db, "documents", ChunkRow._fields, documents.chunks())
            db.execute("INSERT INTO documents_fts (documents_fts) VALUES ('rebuild')")
            models = documents.embedding_models()
            db.execute("COMMIT")
            if models:
                db.executescript(_EMBEDDINGS)
                db.execute("BEGIN")
                _insert(db, "embeddings", EmbeddingRow._fields, documents.embeddings())
                db.execute("COMMIT")
            about = {**origin(documents), "embedding_models": ", ".join(models)}
            _describe(db, about)
            db.execute("VACUUM INTO ?", (str(path),))

    def count(self, path: Path) -> int:
        """How many chunks a file holds."""
        return count_rows(path, "documents")


def _describe(db: sqlite3.Connection, about: dict[str, str]) -> None:
    """Fill the tables `meta` and `readme`."""
    db.executemany("INSERT INTO meta VALUES (?, ?)", about.items())
    texts = ((lang, t("documents.export_readme", lang=lang)) for lang in LANGUAGES)
    db.executemany("INSERT INTO readme VALUES (?, ?)", texts)


def _insert(
    db: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]
) -> None:
    marks = ", ".join("?" * len(columns))
    db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


exporter = SqliteExporter()
