"""The chunks of a project as people look at them: page by page, and behind a sample."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from custom_ai.documents.store import Chunk, Store, open_store
from custom_ai.projects.project import Project


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
    offset, limit = max(0, offset), max(0, limit)
    with open_store(project) as store:
        found = store.chunks(document, offset, limit)
        if document is None:
            _, total = store.counts()
        else:
            total = sum(s.n_chunks for s in store.sources() if s.id == document)
    return ChunkPage(total, offset, [_view(chunk) for chunk in found])


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
    with open_store(project) as store:
        found = _found(store, source_sha256, chunk_index, quote_start, quote)
    if found is None:
        return None
    chunk = _view(found)
    start = chunk.text.find(quote) if quote_start is None else quote_start - chunk.char_start
    if not quote or not 0 <= start < len(chunk.text):
        return Passage(chunk, None)
    return Passage(chunk, (start, min(start + len(quote), len(chunk.text))))


def _found(
    store: Store, sha256: str, chunk_index: int | None, quote_start: int | None, quote: str
) -> Chunk | None:
    source = store.source(sha256)
    if source is None:
        return None
    if quote_start is not None:
        return store.chunk_around(source.id, quote_start, quote_start + len(quote))
    chunks = [] if chunk_index is None else store.chunks(source.id, chunk_index, 1)
    return chunks[0] if chunks else None


def _view(chunk: Chunk) -> ChunkView:
    metadata = json.loads(chunk.metadata)
    about = ("page_start", "page_end", "heading_path", "n_tokens", "tokenizer")
    return ChunkView(
        id=chunk.id,
        document=chunk.source_id,
        filename=chunk.filename,
        chunk_index=chunk.chunk_index,
        text=chunk.chunk_text,
        char_start=metadata["char_start"],
        char_end=metadata["char_end"],
        **{name: metadata[name] for name in about},
    )
