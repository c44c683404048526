"""The documents of a project as every export reads them: the one place that knows the tables."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from custom_ai.projects import database
from custom_ai.projects.project import Project


class ChunkRow(NamedTuple):
    """One row of the promised table `documents`; metadata is JSON."""

    id: int
    filename: str
    chunk_index: int
    chunk_text: str
    metadata: str
    created_at: str

    def flat_metadata(self) -> dict[str, Any]:
        """What other programs know about a chunk.

        Each value has the same type in every chunk, for programs that take the types of a column
        from its first rows: page_label is "" where the format has no pages, heading where none is
        in force. source and page_label are the names LangChain and LlamaIndex use.
        """
        known = json.loads(self.metadata)
        page = known["page_start"]
        return {
            "source": self.filename,
            "page_label": "" if page is None else str(page),
            "heading": " › ".join(known["heading_path"]),
            "chunk_index": self.chunk_index,
            "char_start": known["char_start"],
            "char_end": known["char_end"],
            "n_tokens": known["n_tokens"],
            "tokenizer": known["tokenizer"],
            "source_sha256": known["source_sha256"],
        }


class SourceRow(NamedTuple):
    """A document; nothing of it says where on this computer the file lies."""

    id: int
    sha256: str
    filename: str
    bytes: int
    media_type: str
    n_pages: int | None
    n_chunks: int
    language: str
    reader: str
    chunking: str
    added_at: str


class EmbeddingRow(NamedTuple):
    """The vector of a chunk: `dimension` float32 values, little endian."""

    document_id: int
    model: str
    dimension: int
    vector: bytes


@dataclass(frozen=True)
class Contents:
    """All documents of a project at one moment.

    name: the project's. chunk_count: how many chunks there are. newest: when the newest document
    was added, in ISO 8601; "" without any.
    """

    name: str
    chunk_count: int
    newest: str
    _db: sqlite3.Connection

    def sources(self) -> Iterator[SourceRow]:
        """Every document, in the order they were added."""
        yield from map(SourceRow._make, self._rows("sources", SourceRow._fields, "id"))

    def chunks(self) -> Iterator[ChunkRow]:
        """Every chunk, by its number."""
        yield from map(ChunkRow._make, self._rows("documents", ChunkRow._fields, "id"))

    def embeddings(self) -> Iterator[EmbeddingRow]:
        """Every vector, by chunk and model; none where the project has no semantic search."""
        rows = self._rows("embeddings", EmbeddingRow._fields, "document_id, model")
        yield from map(EmbeddingRow._make, rows)

    def embedding_models(self) -> dict[str, int]:
        """For each embedding model how many chunks have a vector of it."""
        counts = "SELECT model, count(*) FROM embeddings GROUP BY model ORDER BY model"
        return {model: count for model, count in self._db.execute(counts)}

    def _rows(self, table: str, columns: tuple[str, ...], order: str) -> sqlite3.Cursor:
        return self._db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")


@contextmanager
def read(project: Project) -> Iterator[Contents]:
    """The contents of a project as they are now, whatever else is written meanwhile."""
    with database.connect(project.database) as db:
        db.execute("BEGIN")
        count = db.execute("SELECT count(*) FROM documents").fetchone()[0]
        newest = db.execute("SELECT max(added_at) FROM sources").fetchone()[0] or ""
        yield Contents(project.slug, count, newest, db)
