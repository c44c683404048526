"""The tables of a corpus, and how they came to their present form: one list per version."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from custom_ai.documents.store import Unreachable

if TYPE_CHECKING:
    from custom_ai.documents.stores.postgresql.connection import Database

_PREFIX = "custom_ai_"

_V1 = (
    # One row: what is to be known without counting. Whoever writes changes it first.
    """
    CREATE TABLE corpus (
        version integer NOT NULL,
        stamp bigint NOT NULL DEFAULT 0,       -- another number after every change
        chunks bigint NOT NULL DEFAULT 0,
        words bigint NOT NULL DEFAULT 0,       -- of all chunks together
        model text,                            -- that made the vectors; NULL before the first
        dimension integer
    )
    """,
    "INSERT INTO corpus (version) VALUES (0)",
    """
    CREATE TABLE sources (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        origin text NOT NULL,                  -- the project whose file it is
        sha256 text NOT NULL UNIQUE,           -- of the file's bytes
        path text NOT NULL,                    -- where the file lies, as that project names it
        filename text NOT NULL,
        bytes bigint NOT NULL,
        media_type text NOT NULL,
        n_pages integer,
        n_chunks integer NOT NULL,
        language text NOT NULL,
        reader text NOT NULL,
        chunking text NOT NULL,
        text text NOT NULL,
        facts text NOT NULL,                   -- JSON
        added_at text NOT NULL,
        UNIQUE (origin, path)
    )
    """,
    """
    CREATE TABLE documents (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        source_id bigint NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
        filename text NOT NULL,
        chunk_index integer NOT NULL,
        chunk_text text NOT NULL,
        metadata text NOT NULL,                -- JSON, as in a project's own file
        created_at text NOT NULL,
        words tsvector NOT NULL,               -- A: of headings, B: of the file's name, D: of text
        n_words integer NOT NULL,
        UNIQUE (source_id, chunk_index)
    )
    """,
    "CREATE INDEX documents_words ON documents USING gin (words)",
    """
    CREATE TABLE terms (
        word text COLLATE "C" PRIMARY KEY,
        folded text NOT NULL,                  -- as words are compared
        chunks bigint NOT NULL                 -- that hold it
    )
    """,
    "CREATE INDEX terms_gone ON terms (word) WHERE chunks <= 0",
)
VERSIONS = (_V1,)

# An index of three letters each, where the server has this extension; else the words are read.
_TRIGRAMS = """
    DO $$ BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
        CREATE INDEX IF NOT EXISTS terms_parts ON terms USING gin (folded gin_trgm_ops);
    EXCEPTION WHEN OTHERS THEN NULL;
    END $$
"""


def prepare(db: "Database", corpus: str) -> None:
    """Make the corpus, or bring it up to date, and speak of it from now on.

    Raises UserError when a newer version made it.
    """
    schema = _PREFIX + corpus
    known = db.value("SELECT 1 FROM pg_namespace WHERE nspname = :schema", schema=schema)
    if not known:
        with _alone(db, schema):
            db.run(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    db.run(f"SET search_path = {schema}, public")
    version = _version(db, schema)
    if version > len(VERSIONS):
        raise Unreachable("documents.corpus_newer", corpus=corpus)
    if version == len(VERSIONS):
        return
    with _alone(db, schema):
        # Another process may have done it while this one waited.
        for number in range(_version(db, schema), len(VERSIONS)):
            for statement in VERSIONS[number]:
                db.run(statement)
            db.run("UPDATE corpus SET version = :number", number=number + 1)
    db.run(_TRIGRAMS)


@contextmanager
def _alone(db: "Database", schema: str) -> Iterator[None]:
    """A transaction that no other process makes or changes this corpus beside."""
    # Taken before it begins: a transaction that waited would not see the tables made meanwhile.
    db.run("SELECT pg_advisory_lock(hashtext(:schema))", schema=schema)
    try:
        with db.transaction():
            yield
    finally:
        with suppress(Unreachable):
            db.run("SELECT pg_advisory_unlock(hashtext(:schema))", schema=schema)


def _version(db: "Database", schema: str) -> int:
    if db.value("SELECT to_regclass(:name)", name=f"{schema}.corpus") is None:
        return 0
    return int(db.value("SELECT version FROM corpus"))
