"""Found chunks as people see them: where they stand, and why they were found."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from custom_ai.documents import highlight

FoundBy = Literal["words", "meaning", "both"]

_CHUNK = """
    SELECT id, source_id, filename, chunk_index, chunk_text, metadata FROM documents WHERE id = ?
"""


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
    db: sqlite3.Connection,
    scored: Iterable[tuple[int, float]],
    marked: Collection[str],
    found_by: dict[int, FoundBy] | None = None,
) -> Iterator[Hit]:
    """The chunks of these numbers with their scores; what is gone meanwhile is left out.

    marked: the words to highlight, as `vocabulary.folded` makes them.
    """
    how = found_by or {}
    for number, score in scored:
        row = db.execute(_CHUNK, (number,)).fetchone()
        if row is not None:
            yield _hit(row, marked, score, how.get(number, "words"))


def _hit(row: sqlite3.Row, marked: Collection[str], score: float, found_by: FoundBy) -> Hit:
    metadata = json.loads(row["metadata"])
    spans = highlight.find(row["chunk_text"], marked)
    shown = highlight.snippet(row["chunk_text"], spans)
    return Hit(
        document=row["source_id"],
        chunk=row["id"],
        filename=row["filename"],
        chunk_index=row["chunk_index"],
        page=metadata["page_start"],
        heading_path=metadata["heading_path"],
        chunk_text=row["chunk_text"],
        snippet=shown.text,
        highlights=shown.spans,
        spans=spans,
        score=score,
        found_by=found_by,
    )
