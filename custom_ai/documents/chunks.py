"""The chunks of a project as people look at them: page by page, and behind a sample."""

import json
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from custom_ai.projects import database
from custom_ai.projects.project import Project

_COLUMNS = "documents.id, source_id, filename, chunk_index, chunk_text, metadata"

_BY_NUMBER = f"SELECT {_COLUMNS} FROM documents WHERE source_id = :source AND chunk_index = :number"
# Chunks overlap: the first one that holds the whole quote, else the first that holds its start.
_BY_PLACE = f"""
    SELECT {_COLUMNS} FROM documents
    WHERE source_id = :source
      AND json_extract(metadata, '$.char_start') <= :start
      AND json_extract(metadata, '$.char_end') > :start
    ORDER BY json_extract(metadata, '$.char_end') >= :end DESC, chunk_index LIMIT 1
"""


@dataclass(frozen=True)
class ChunkView:
    """One chunk.

    id: the chunk's own number; document: its document's, as `library.list_all` shows it.
    page_start, page_end: None where the format has no pages. n_tokens: counted by `tokenizer`.
    char_start, char_end: where the chunk stands in the document's text, in characters.
    """

    id: int
    document: int
    filename: str
    chunk_index: int
    text: str
    page_start: int | None
    page_end: int | None
    heading_path: list[str]
    n_tokens: int
    tokenizer: str
    char_start: int
    char_end: int


@dataclass(frozen=True)
class ChunkPage:
    """Some chunks of `total`, from number `offset` (0 is the first) on."""

    total: int
    offset: int
    items: list[ChunkView]

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return asdict(self)


@dataclass(frozen=True)
class Passage:
    """The chunk a sample came from; highlight: where in its text the quote stands, if it does."""

    chunk: ChunkView
    highlight: tuple[int, int] | None


def page(
    project: Project, document: int | None = None, offset: int = 0, limit: int = 50
) -> ChunkPage:
    """The chunks of one document or of all, in the order of the documents' numbers.

    Takes time for the chunks it returns, not for those the project has.
    """
    which, values = ("source_id = ?", [document]) if document is not None else ("TRUE", [])
    # The numbers come from an index alone; only the chunks of this page are read.
    numbers = (
        f"SELECT id FROM documents WHERE {which} ORDER BY source_id, chunk_index LIMIT ? OFFSET ?"
    )
    chunks = (
        f"SELECT {_COLUMNS} FROM documents WHERE id IN ({numbers}) ORDER BY source_id, chunk_index"
    )
    count = f"SELECT total(n_chunks) FROM sources WHERE {which.replace('source_id', 'id')}"
    with database.connect(project.database) as db:
        total = int(db.execute(count, values).fetchone()[0])
        rows = db.execute(chunks, [*values, max(0, limit), max(0, offset)]).fetchall()
    return ChunkPage(total, max(0, offset), [_view(row) for row in rows])


def passage(
    project: Project,
    source_sha256: str,
    chunk_index: int | None,
    quote_start: int | None,
    quote: str,
) -> Passage | None:
    """The chunk behind a sample (its fields of the same names); None when the project has none.

    The place of the quote counts more than the chunk's number: the document may have been cut
    anew since. A quote that goes on in the next chunk is highlighted to the end of this one.
    """
    with database.connect(project.database) as db:
        row = _row(db, source_sha256, chunk_index, quote_start, quote)
    if row is None:
        return None
    chunk = _view(row)
    start = chunk.text.find(quote) if quote_start is None else quote_start - chunk.char_start
    if not quote or not 0 <= start < len(chunk.text):
        return Passage(chunk, None)
    return Passage(chunk, (start, min(start + len(quote), len(chunk.text))))


def _row(
    db: sqlite3.Connection,
    sha256: str,
    chunk_index: int | None,
    quote_start: int | None,
    quote: str,
) -> sqlite3.Row | None:
    source = db.execute("SELECT id FROM sources WHERE sha256 = ?", (sha256,)).fetchone()
    if source is None:
        return None
    values = {
        "source": source["id"],
        "number": chunk_index,
        "start": quote_start,
        "end": None if quote_start is None else quote_start + len(quote),
    }
    found: sqlite3.Row | None = db.execute(
        _BY_NUMBER if quote_start is None else _BY_PLACE, values
    ).fetchone()
    return found


def _view(row: sqlite3.Row) -> ChunkView:
    metadata = json.loads(row["metadata"])
    about = ("page_start", "page_end", "heading_path", "n_tokens", "tokenizer")
    return ChunkView(
        id=row["id"],
        document=row["source_id"],
        filename=row["filename"],
        chunk_index=row["chunk_index"],
        text=row["chunk_text"],
        char_start=metadata["char_start"],
        char_end=metadata["char_end"],
        **{name: metadata[name] for name in about},
    )
