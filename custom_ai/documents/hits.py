"""Found chunks as people see them: where they stand, and why they were found."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from custom_ai.documents import highlight
from custom_ai.documents.store import Chunk, Store

FoundBy = Literal["words", "meaning", "both"]


@dataclass(frozen=True)
class Hit:
    """A chunk that was found.

    document: the number of the document as `list_all` shows it; chunk: the chunk's own number.
    snippet: the part of the chunk around the words; highlights: where in it the words stand;
    spans: where they stand in the whole chunk_text.
    score: larger is better; comparable within one search only.
    """

    document: int
    chunk: int
    filename: str
    chunk_index: int
    page: int | None
    heading_path: list[str]
    chunk_text: str
    snippet: str
    highlights: list[tuple[int, int]]
    spans: list[tuple[int, int]]
    score: float
    found_by: FoundBy = "words"

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return asdict(self)


def hits(
    store: Store,
    scored: Sequence[tuple[int, float]],
    marked: Collection[str],
    found_by: dict[int, FoundBy] | None = None,
) -> Iterator[Hit]:
    """The chunks of these numbers with their scores; what is gone meanwhile is left out.

    marked: the words to highlight, as `vocabulary.folded` makes them.
    """
    how = found_by or {}
    chunks = store.chunks_numbered([number for number, _ in scored])
    for number, score in scored:
        if chunk := chunks.get(number):
            yield _hit(chunk, marked, score, how.get(number, "words"))


def _hit(chunk: Chunk, marked: Collection[str], score: float, found_by: FoundBy) -> Hit:
    metadata = json.loads(chunk.metadata)
    spans = highlight.find(chunk.chunk_text, marked)
    shown = highlight.snippet(chunk.chunk_text, spans)
    return Hit(
        document=chunk.source_id,
        chunk=chunk.id,
        filename=chunk.filename,
        chunk_index=chunk.chunk_index,
        page=metadata["page_start"],
        heading_path=metadata["heading_path"],
        chunk_text=chunk.chunk_text,
        snippet=shown.text,
        highlights=shown.spans,
        spans=spans,
        score=score,
        found_by=found_by,
    )
