"""The documents of a project as every export reads them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from custom_ai.documents.store import Store, StoredVector, open_store
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


EmbeddingRow = StoredVector


@dataclass(frozen=True)
class Contents:
    """All documents of a project at one moment.

    name: the project's. chunk_count: how many chunks there are. newest: when the newest document
    was added, in ISO 8601; "" without any.
    """

    name: str
    chunk_count: int
    newest: str
    _store: Store

    def sources(self) -> Iterator[SourceRow]:
        """Every document, in the order they were added."""
        for source in sorted(self._store.sources(), key=lambda source: source.id):
            yield SourceRow(*(getattr(source, name) for name in SourceRow._fields))

    def chunks(self) -> Iterator[ChunkRow]:
        """Every chunk, by its number."""
        for chunk in self._store.all_chunks():
            yield ChunkRow(chunk.id, *chunk[2:])

    def embeddings(self) -> Iterator[EmbeddingRow]:
        """Every vector, by chunk; none where the project has no semantic search."""
        yield from self._store.vectors.all()

    def embedding_models(self) -> dict[str, int]:
        """For each embedding model how many chunks have a vector of it."""
        space = self._store.vectors.space()
        return {space.model: space.vectors} if space else {}


@contextmanager
def read(project: Project) -> Iterator[Contents]:
    """The contents of a project as they are now, whatever else is written meanwhile."""
    with open_store(project) as store, store.snapshot():
        _, count = store.counts()
        newest = max((source.added_at for source in store.sources()), default="")
        yield Contents(project.slug, count, newest, store)
