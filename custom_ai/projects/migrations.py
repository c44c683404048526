"""How the database of a project came to its present form: one function per version, in order."""

import sqlite3
from collections.abc import Callable

Migration = Callable[[sqlite3.Connection], None]
MIGRATIONS: list[Migration] = []


@MIGRATIONS.append
def m001_documents_and_chunks(db: sqlite3.Connection) -> None:
    """Sources (files), their text, their chunks (table `documents`) and a full-text index."""
    for statement in _M001:
        db.execute(statement)


@MIGRATIONS.append
def m004_facts(db: sqlite3.Connection) -> None:
    """What a reader says about a document beside its text, as a JSON object."""
    db.execute("ALTER TABLE sources ADD COLUMN facts TEXT NOT NULL DEFAULT '{}'")


_M001 = (
    """
    CREATE TABLE sources (
        id INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL UNIQUE,       -- of the file's bytes
        path TEXT NOT NULL UNIQUE,         -- where the file was when it was added
        filename TEXT NOT NULL,            -- as people know it; relative inside an added folder
        bytes INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        n_pages INTEGER,                   -- NULL where the format has no pages
        n_chunks INTEGER NOT NULL,
        language TEXT NOT NULL,            -- 'de', 'en' or '' when unknown
        reader TEXT NOT NULL,
        chunking TEXT NOT NULL,            -- "tokenizer/size/overlap" that made the chunks
        text TEXT NOT NULL,                -- whole text; chunk offsets count its characters
        added_at TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE documents (
        id INTEGER PRIMARY KEY,
        filename TEXT NOT NULL,
        chunk_index INTEGER NOT NULL,
        chunk_text TEXT NOT NULL,
        metadata TEXT NOT NULL,            -- JSON: char_start, char_end, page_start, page_end,
                                           -- heading_path, n_tokens, tokenizer, source_sha256,
                                           -- reader
        created_at TEXT NOT NULL,
        source_id INTEGER NOT NULL REFERENCES sources(id) ON DELETE CASCADE,
        UNIQUE (source_id, chunk_index)
    )
    """,
    """
    CREATE VIRTUAL TABLE documents_fts USING fts5 (
        chunk_text, filename, content='documents', content_rowid='id',
        tokenize="unicode61 remove_diacritics 2"
    )
    """,
    """
    CREATE TRIGGER documents_added AFTER INSERT ON documents BEGIN
        INSERT INTO documents_fts (rowid, chunk_text, filename)
        VALUES (new.id, new.chunk_text, new.filename);
    END
    """,
    """
    CREATE TRIGGER documents_removed AFTER DELETE ON documents BEGIN
        INSERT INTO documents_fts (documents_fts, rowid, chunk_text, filename)
        VALUES ('delete', old.id, old.chunk_text, old.filename);
    END
    """,
    """
    CREATE TRIGGER documents_changed AFTER UPDATE ON documents BEGIN
        INSERT INTO documents_fts (documents_fts, rowid, chunk_text, filename)
        VALUES ('delete', old.id, old.chunk_text, old.filename);
        INSERT INTO documents_fts (rowid, chunk_text, filename)
        VALUES (new.id, new.chunk_text, new.filename);
    END
    """,
)
