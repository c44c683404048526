"""Documents and chunks in PostgreSQL."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from typing import Any

from custom_ai.documents.store import Chunk, NewChunk, NewSource, Source, Touched
from custom_ai.documents.stores.postgresql.connection import Database, array
from custom_ai.documents.stores.postgresql.vectors import PostgresVectors
from custom_ai.documents.stores.postgresql.words import Held, PostgresWords, forget, held, learn

_SOURCE = ", ".join(field.name for field in fields(Source) if field.name != "mine")
_NEW = [field.name for field in fields(NewSource)]
_CHUNK = ", ".join(Chunk._fields)
_BATCH = 500

_INSERT = """
    INSERT INTO documents
        (source_id, filename, chunk_index, chunk_text, metadata, created_at, words, n_words)
    SELECT :source, :filename, place, text, metadata, :created_at, CAST(words AS tsvector), n_words
    FROM unnest(
        CAST(:places AS integer[]), CAST(:texts AS text[]), CAST(:metadata AS text[]),
        CAST(:words AS text[]), CAST(:counts AS integer[])
    ) AS new (place, text, metadata, words, n_words)
"""
_AROUND = f"""
    SELECT {_CHUNK} FROM (
        SELECT *, CAST(CAST(metadata AS json) ->> 'char_start' AS integer) AS first,
            CAST(CAST(metadata AS json) ->> 'char_end' AS integer) AS last
        FROM documents WHERE source_id = :source
    ) AS placed
    WHERE first <= :start AND last > :start
    ORDER BY last >= :end DESC, chunk_index LIMIT 1
"""
_TOUCHED = """
    SELECT source_id, CAST(about ->> 'page_start' AS integer) AS first,
        CAST(about ->> 'page_end' AS integer) AS last, count(*),
        avg(CAST(about ->> 'n_tokens' AS float8))
    FROM (SELECT source_id, CAST(metadata AS json) AS about FROM documents WHERE {which}) AS known
    GROUP BY source_id, first, last
"""


class PostgresStore:
    """What `store.Store` promises. origin: the project whose files are looked for here."""

    def __init__(self, db: Database, origin: str) -> None:
        self._db = db
        self._origin = origin
        self.words = PostgresWords(db)
        self.vectors = PostgresVectors(db)

    def sources(self) -> list[Source]:
        """Every document, by name."""
        return self._sources('TRUE ORDER BY filename COLLATE "C", id')

    def source(self, sha256: str) -> Source | None:
        """The document with these bytes."""
        return next(iter(self._sources("sha256 = :sha256", sha256=sha256)), None)

    def source_at(self, path: str) -> Source | None:
        """The document that was made of this project's file of that name."""
        found = self._sources("origin = :mine AND path = :path", path=path, mine=self._origin)
        return next(iter(found), None)

    def content(self, source: int) -> tuple[str, str]:
        """Text and facts of a document; empty when it is gone."""
        rows = self._db.run("SELECT text, facts FROM sources WHERE id = :id", id=source)
        return (rows[0][0], rows[0][1]) if rows else ("", "{}")

    def counts(self) -> tuple[int, int]:
        """How many documents and how many chunks there are."""
        counts = "SELECT count(*), coalesce(sum(n_chunks), 0) FROM sources"
        documents, chunks = self._db.run(counts)[0]
        return int(documents), int(chunks)

    def put(self, source: NewSource, chunks: Iterable[NewChunk]) -> None:
        """Store a document in the place of one of the same bytes or the same path."""
        with self._db.writing():
            self._delete(
                "sha256 = :sha256 OR origin = :origin AND path = :path",
                sha256=source.sha256, origin=self._origin, path=source.path,
            )  # fmt: skip
            values = {**_storable(source), "origin": self._origin}
            names = ", ".join(values)
            marks = ", ".join(f":{name}" for name in values)
            insert = f"INSERT INTO sources ({names}) VALUES ({marks}) RETURNING id"
            number = int(self._db.value(insert, **values))
            words: list[Held] = []
            waiting: list[NewChunk] = []
            for chunk in chunks:
                waiting.append(chunk)
                if len(waiting) == _BATCH:
                    words += self._insert(number, source, len(words), waiting)
                    waiting = []
            words += self._insert(number, source, len(words), waiting)
            learn(self._db, words)

    def rename(self, source: int, path: str, filename: str) -> None:
        """A document's file is called otherwise now; one that stood there before is removed."""
        with self._db.writing():
            values = {"path": path, "origin": self._origin}
            self._delete("origin = :origin AND path = :path", **values)
            forget(self._db, [source])
            self._db.run(
                "UPDATE sources SET origin = :origin, path = :path, filename = :filename"
                " WHERE id = :id",
                **values, filename=filename, id=source,
            )  # fmt: skip
            chunks = self.chunks(source)
            words = [held(c.chunk_text, filename, _headings(c.metadata)) for c in chunks]
            self._db.run(
                "UPDATE documents SET filename = :filename, words = CAST(new.words AS tsvector),"
                " n_words = new.n_words FROM unnest(CAST(:ids AS bigint[]), CAST(:words AS text[]),"
                " CAST(:counts AS integer[])) AS new (id, words, n_words)"
                " WHERE documents.id = new.id",
                filename=filename,
                ids=[chunk.id for chunk in chunks],
                words=array(each.vector for each in words),
                counts=[each.n_words for each in words],
            )
            learn(self._db, words)

    @contextmanager
    def removing(self, source: int) -> Iterator[None]:
        """Remove a document with its chunks; it stays when the block fails."""
        with self._db.writing():
            self._delete("id = :id", id=source)
            yield

    def remove_at(self, path: str) -> None:
        """Remove the document that was made of this project's file of that name, if any."""
        if self.source_at(path) is not None:
            with self._db.writing():
                values = {"origin": self._origin, "path": path}
                self._delete("origin = :origin AND path = :path", **values)

    def chunks(self, source: int | None, offset: int = 0, limit: int | None = None) -> list[Chunk]:
        """Chunks of one document or of all, in the order of the documents' numbers."""
        which = "TRUE" if source is None else "source_id = :source"
        rows = self._db.run(
            f"SELECT {_CHUNK} FROM documents WHERE {which} ORDER BY source_id, chunk_index"
            " LIMIT CAST(:most AS bigint) OFFSET :offset",
            **({} if source is None else {"source": source}), most=limit, offset=offset,
        )  # fmt: skip
        return [Chunk(*row) for row in rows]

    def chunks_numbered(self, numbers: Sequence[int]) -> dict[int, Chunk]:
        """The chunks with these numbers, those that are there."""
        if not numbers:
            return {}
        wanted = f"SELECT {_CHUNK} FROM documents WHERE id = ANY(CAST(:numbers AS bigint[]))"
        return {row[0]: Chunk(*row) for row in self._db.run(wanted, numbers=list(numbers))}

    def chunk_around(self, source: int, start: int, end: int) -> Chunk | None:
        """The first chunk that holds the characters [start, end), else their beginning."""
        rows = self._db.run(_AROUND, source=source, start=start, end=end)
        return Chunk(*rows[0]) if rows else None

    def all_chunks(self) -> Iterator[Chunk]:
        """Every chunk, by its number."""
        after = 0
        while True:
            some = f"SELECT {_CHUNK} FROM documents WHERE id > :after ORDER BY id LIMIT {_BATCH}"
            rows = self._db.run(some, after=after)
            yield from (Chunk(*row) for row in rows)
            if len(rows) < _BATCH:
                return
            after = rows[-1][0]

    def touched(self, source: int | None = None) -> list[Touched]:
        """For one document or all: which pages its chunks stand on."""
        which = "TRUE" if source is None else "source_id = :source"
        values = {} if source is None else {"source": source}
        return [Touched(*row) for row in self._db.run(_TOUCHED.format(which=which), **values)]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read in the block is of one moment, whoever writes meanwhile."""
        with self._db.transaction("ISOLATION LEVEL REPEATABLE READ, READ ONLY"):
            yield

    def _sources(self, which: str, **values: str) -> list[Source]:
        rows = self._db.run(f"SELECT {_SOURCE}, origin FROM sources WHERE {which}", **values)
        found = []
        for *row, origin in rows:
            source = Source(*row)
            if origin != self._origin:
                # No path of this computer, and none that could be taken for one.
                source = replace(source, path=f"shared:/{origin}/{source.path}", mine=False)
            found.append(source)
        return found

    def _insert(
        self, number: int, source: NewSource, first: int, chunks: Sequence[NewChunk]
    ) -> list[Held]:
        if not chunks:
            return []
        headings = [chunk.metadata.get("heading_path") or [] for chunk in chunks]
        words = [
            held(chunk.chunk_text, source.filename, above)
            for chunk, above in zip(chunks, headings, strict=True)
        ]
        self._db.run(
            _INSERT,
            source=number,
            filename=_text(source.filename),
            created_at=source.added_at,
            places=list(range(first, first + len(chunks))),
            texts=array(_text(chunk.chunk_text) for chunk in chunks),
            metadata=array(_text(_json(chunk)) for chunk in chunks),
            words=array(each.vector for each in words),
            counts=[each.n_words for each in words],
        )
        return words

    def _delete(self, which: str, **values: int | str) -> None:
        """Delete sources with their chunks, and the words that only they had."""
        rows = self._db.run(f"SELECT id FROM sources WHERE {which}", **values)
        if numbers := [row[0] for row in rows]:
            forget(self._db, numbers)
            self._db.run("DELETE FROM sources WHERE id = ANY(:numbers)", numbers=numbers)


def _headings(metadata: str) -> list[str]:
    found: list[str] = json.loads(metadata).get("heading_path") or []
    return found


def _json(chunk: NewChunk) -> str:
    return json.dumps(chunk.metadata, ensure_ascii=False)


def _storable(source: NewSource) -> dict[str, Any]:
    return {**asdict(source), "text": _text(source.text), "filename": _text(source.filename)}


def _text(text: str) -> str:
    """PostgreSQL has no place for the character 0; another one keeps all offsets."""
    return text.replace("\0", "\ufffd")
