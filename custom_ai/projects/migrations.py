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
def m002_headings_and_words(db: sqlite3.Connection) -> None:
    """The full-text index knows the headings too; its words can be found by a part of them."""
    for statement in _M002:
        db.execute(statement)


@MIGRATIONS.append
def m003_embeddings(db: sqlite3.Connection) -> None:
    """What chunks mean, as vectors of one model."""
    for statement in _M003:
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

_M002 = (
    "DROP TRIGGER documents_added",
    "DROP TRIGGER documents_removed",
    "DROP TRIGGER documents_changed",
    "DROP TABLE documents_fts",
    # The marks of JSON around the headings separate words, as spaces do.
    """
    CREATE VIEW documents_indexed AS
        SELECT id, chunk_text, filename, json_extract(metadata, '$.heading_path') AS headings
        FROM documents
    """,
    """
    CREATE VIRTUAL TABLE documents_fts USING fts5 (
        chunk_text, filename, headings, content='documents_indexed', content_rowid='id',
        tokenize="unicode61 remove_diacritics 2"
    )
    """,
    "INSERT INTO documents_fts (documents_fts) VALUES ('rebuild')",
    """
    CREATE TRIGGER documents_added AFTER INSERT ON documents BEGIN
        INSERT INTO documents_fts (rowid, chunk_text, filename, headings) VALUES (
            new.id, new.chunk_text, new.filename, json_extract(new.metadata, '$.heading_path')
        );
    END
    """,
    """
    CREATE TRIGGER documents_removed AFTER DELETE ON documents BEGIN
        INSERT INTO documents_fts (documents_fts, rowid, chunk_text, filename, headings) VALUES (
            'delete',
            old.id, old.chunk_text, old.filename, json_extract(old.metadata, '$.heading_path')
        );
    END
    """,
    """
    CREATE TRIGGER documents_changed AFTER UPDATE ON documents BEGIN
        INSERT INTO documents_fts (documents_fts, rowid, chunk_text, filename, headings) VALUES (
            'delete',
            old.id, old.chunk_text, old.filename, json_extract(old.metadata, '$.heading_path')
        );
        INSERT INTO documents_fts (rowid, chunk_text, filename, headings) VALUES (
            new.id, new.chunk_text, new.filename, json_extract(new.metadata, '$.heading_path')
        );
    END
    """,
    # The words of the index as it holds them: in small letters and without accents.
    "CREATE VIRTUAL TABLE documents_terms USING fts5vocab (documents_fts, row)",
    """
    CREATE TABLE words (
        id INTEGER PRIMARY KEY,
        word TEXT NOT NULL UNIQUE,         -- a word of documents_terms of three letters or more
        folded TEXT GENERATED ALWAYS AS (replace(word, 'ß', 'ss')) VIRTUAL
    )
    """,
    """
    CREATE VIRTUAL TABLE words_fts USING fts5 (
        folded, content='words', content_rowid='id', tokenize='trigram', detail='none'
    )
    """,
    """
    CREATE TRIGGER words_added AFTER INSERT ON words BEGIN
        INSERT INTO words_fts (rowid, folded) VALUES (new.id, new.folded);
    END
    """,
    """
    CREATE TRIGGER words_removed AFTER DELETE ON words BEGIN
        INSERT INTO words_fts (words_fts, rowid, folded) VALUES ('delete', old.id, old.folded);
    END
    """,
    """
    INSERT INTO words (word)
        SELECT term FROM documents_terms WHERE length(term) > 2 AND term GLOB '*[^0-9]*'
    """,
)

_M003 = (
    """
    CREATE TABLE embeddings (
        document_id INTEGER PRIMARY KEY REFERENCES documents(id) ON DELETE CASCADE,
        model TEXT NOT NULL,
        dimension INTEGER NOT NULL,
        vector BLOB NOT NULL               -- float32, little-endian, of length 1
    )
    """,
    # What all vectors have in common; `stamp` is another number after every change.
    """
    CREATE TABLE embedding_space (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        model TEXT NOT NULL,
        dimension INTEGER NOT NULL,
        vectors INTEGER NOT NULL,
        stamp INTEGER NOT NULL
    )
    """,
    """
    CREATE TRIGGER embeddings_alike BEFORE INSERT ON embeddings
    WHEN NOT EXISTS (
        SELECT 1 FROM embedding_space
        WHERE model = new.model AND dimension = new.dimension
          AND length(new.vector) = 4 * new.dimension
    )
    BEGIN
        SELECT RAISE(ABORT, 'vectors of another model');
    END
    """,
    """
    CREATE TRIGGER embeddings_added AFTER INSERT ON embeddings BEGIN
        UPDATE embedding_space SET vectors = vectors + 1, stamp = random();
    END
    """,
    """
    CREATE TRIGGER embeddings_removed AFTER DELETE ON embeddings BEGIN
        UPDATE embedding_space SET vectors = vectors - 1, stamp = random();
    END
    """,
)
