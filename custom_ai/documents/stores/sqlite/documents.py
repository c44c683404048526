"""Documents and chunks in SQLite."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path

from custom_ai.documents.store import Chunk, NewChunk, NewSource, Source, Touched
from custom_ai.documents.stores.sqlite.vectors import SqliteVectors
from custom_ai.documents.stores.sqlite.words import SqliteWords, forgetting, learn
from custom_ai.projects.database import transaction

_SOURCE = ", ".join(field.name for field in fields(Source) if field.name != "mine")
_NEW = [field.name for field in fields(NewSource)]
_CHUNK = ", ".join(Chunk._fields)

# Chunks overlap: the first one that holds all the characters, else the first that holds the start.
_AROUND = f"""
    SELECT {_CHUNK} FROM documents
    WHERE source_id = :source
      AND json_extract(metadata, '$.char_start') <= :start
      AND json_extract(metadata, '$.char_end') > :start
    ORDER BY json_extract(metadata, '$.char_end') >= :end DESC, chunk_index LIMIT 1
"""
_TOUCHED = """
    SELECT source_id, json_extract(metadata, '$.page_start') AS first,
        json_extract(metadata, '$.page_end') AS last, count(*),
        avg(json_extract(metadata, '$.n_tokens'))
    FROM documents WHERE {which} GROUP BY source_id, first, last
"""


class SqliteStore:
    """What `store.Store` promises, over an open database that lies at `path`."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self.words = SqliteWords(db)
        self.vectors = SqliteVectors(db, path)

    def sources(self) -> list[Source]:
        """Every document, by name."""
        rows = self._db.execute(f"SELECT {_SOURCE} FROM sources ORDER BY filename, id")
        return [Source(*row) for row in rows]

    def source(self, sha256: str) -> Source | None:
        """The document with these bytes."""
        return self._one("sha256 = ?", sha256)

    def source_at(self, path: str) -> Source | None:
        """The document that was made of the file of that name."""
        return self._one("path = ?", path)

    def content(self, source: int) -> tuple[str, str]:
        """Text and facts of a document; empty when it is gone."""
        row = self._db.execute("SELECT text, facts FROM sources WHERE id = ?", (source,)).fetchone()
        return tuple(row) if row else ("", "{}")

    def counts(self) -> tuple[int, int]:
        """How many documents and how many chunks there are."""
        counts = "SELECT count(*), coalesce(sum(n_chunks), 0) FROM sources"
        documents, chunks = self._db.execute(counts).fetchone()
        return int(documents), int(chunks)

    def put(self, source: NewSource, chunks: Iterable[NewChunk]) -> None:
        """Store a document in the place of one of the same bytes or the same path."""
        db = self._db
        columns, marks = ", ".join(_NEW), ", ".join("?" * len(_NEW))
        with transaction(db):
            self._delete("sha256 = ? OR path = ?", source.sha256, source.path)
            insert = f"INSERT INTO sources ({columns}) VALUES ({marks})"
            number = int(db.execute(insert, astuple(source)).lastrowid or 0)
            db.executemany(
                "INSERT INTO documents (filename, chunk_index, chunk_text, metadata, created_at,"
                " source_id) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (source.filename, n, chunk.chunk_text, _json(chunk), source.added_at, number)
                    for n, chunk in enumerate(chunks)
                ),
            )
            learn(db, number)

    def rename(self, source: int, path: str, filename: str) -> None:
        """A document's file is called otherwise now; one that stood there before is removed."""
        db = self._db
        with transaction(db):
            self._delete("path = ?", path)
            with forgetting(db, [source]):
                values = (path, filename, source)
                db.execute("UPDATE sources SET path = ?, filename = ? WHERE id = ?", values)
                db.execute("UPDATE documents SET filename = ? WHERE source_id = ?", values[1:])
            learn(db, source)

    @contextmanager
    def removing(self, source: int) -> Iterator[None]:
        """Remove a document with its chunks; it stays when the block fails."""
        with transaction(self._db):
            self._delete("id = ?", source)
            yield

    def remove_at(self, path: str) -> None:
        """Remove the document that was made of the file of that name, if there is one."""
        with transaction(self._db):
            self._delete("path = ?", path)

    def chunks(self, source: int | None, offset: int = 0, limit: int | None = None) -> list[Chunk]:
        """Chunks of one document or of all, in the order of the documents' numbers."""
        which, values = ("source_id = ?", [source]) if source is not None else ("TRUE", [])
        # The numbers come from an index alone; only the chunks that are asked for are read.
        numbers = (
            f"SELECT id FROM documents WHERE {which}"
            " ORDER BY source_id, chunk_index LIMIT ? OFFSET ?"
        )
        wanted = f"SELECT {_CHUNK} FROM documents WHERE id IN ({numbers})"
        values += [-1 if limit is None else limit, offset]
        rows = self._db.execute(f"{wanted} ORDER BY source_id, chunk_index", values)
        return [Chunk(*row) for row in rows]

    def chunks_numbered(self, numbers: Sequence[int]) -> dict[int, Chunk]:
        """The chunks with these numbers, those that are there."""
        wanted = f"SELECT {_CHUNK} FROM documents WHERE id = ?"
        rows = (self._db.execute(wanted, (number,)).fetchone() for number in numbers)
        return {row["id"]: Chunk(*row) for row in rows if row}

    def chunk_around(self, source: int, start: int, end: int) -> Chunk | None:
        """The first chunk that holds the characters [start, end), else their beginning."""
        values = {"source": source, "start": start, "end": end}
        row = self._db.execute(_AROUND, values).fetchone()
        return Chunk(*row) if row else None

    def all_chunks(self) -> Iterator[Chunk]:
        """Every chunk, by its number."""
        yield from map(Chunk._make, self._db.execute(f"SELECT {_CHUNK} FROM documents ORDER BY id"))

    def touched(self, source: int | None = None) -> list[Touched]:
        """For one document or all: which pages its chunks stand on."""
        which, values = ("source_id = ?", (source,)) if source is not None else ("TRUE", ())
        return [Touched(*row) for row in self._db.execute(_TOUCHED.format(which=which), values)]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read in the block is of one moment, whoever writes meanwhile."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

    def _one(self, which: str, value: str) -> Source | None:
        rows = self._db.execute(f"SELECT {_SOURCE} FROM sources WHERE {which}", (value,))
        row = rows.fetchone()
        return Source(*row) if row else None

    def _delete(self, which: str, *values: int | str) -> None:
        """Delete sources with their chunks, and the words that only they had."""
        found = self._db.execute(f"SELECT id FROM sources WHERE {which}", values).fetchall()
        if numbers := [row["id"] for row in found]:
            with forgetting(self._db, numbers):
                self._db.execute(f"DELETE FROM sources WHERE {which}", values)


def _json(chunk: NewChunk) -> str:
    return json.dumps(chunk.metadata, ensure_ascii=False)
