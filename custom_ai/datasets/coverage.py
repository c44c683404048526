"""What of the documents the samples cover: which chapters have no question, which hold orders."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from custom_ai.datasets.collection import Collection, collect
from custom_ai.datasets.injection import Suspicion, in_passage
from custom_ai.datasets.plan import worth_asking
from custom_ai.documents.reader import Span
from custom_ai.documents.store import open_store
from custom_ai.projects.project import Project


@dataclass(frozen=True)
class Chapter:
    """The chunks of a document below one heading.

    heading_path: from the outermost heading to its own; empty for what stands before the first.
    chunks: those worth asking about. asked: those with a sample of any status. accepted: samples.
    """

    filename: str
    heading_path: tuple[str, ...]
    chunks: int
    asked: int
    accepted: int


@dataclass(frozen=True)
class Order:
    """A place in a document that looks like an order to a language model."""

    filename: str
    page: int | None
    suspicion: Suspicion


@dataclass(frozen=True)
class Coverage:
    """The chapters in the order of the documents, and what the scanner found in them."""

    chapters: list[Chapter]
    orders: list[Order]

    @property
    def empty(self) -> list[Chapter]:
        """The chapters without an accepted sample."""
        return [chapter for chapter in self.chapters if not chapter.accepted]

    @property
    def share(self) -> float:
        """The share of the chunks that have an accepted sample's chapter, from 0 to 1."""
        chunks = sum(chapter.chunks for chapter in self.chapters)
        covered = sum(chapter.chunks for chapter in self.chapters if chapter.accepted)
        return covered / chunks if chunks else 0.0


@dataclass(frozen=True)
class _Piece:
    filename: str
    heading_path: tuple[str, ...]
    page: int | None
    sha256: str
    start: int
    end: int


def coverage(project: Project, collection: Collection | None = None) -> Coverage:
    """How the project's samples cover its documents."""
    collection = collection or collect(project)
    asked, accepted = Counter[tuple[str, str, int]](), Counter[tuple[str, str, int]]()
    for judged in collection.samples:
        sample = judged.sample
        if sample.source_sha256 and sample.chunk_index is not None:
            key = (sample.source_sha256, sample.filename, sample.chunk_index)
            asked[key] += 1
            accepted[key] += judged.status == "accepted"
    chapters: dict[tuple[str, tuple[str, ...]], Chapter] = {}
    orders: dict[tuple[str, int], Order] = {}
    for index, piece, text, hidden in _pieces(project):
        for found in in_passage(text, piece.start, piece.end, hidden):
            orders.setdefault((piece.sha256, found.start), Order(piece.filename, piece.page, found))
        if not worth_asking(text[piece.start : piece.end], _LEAST):
            continue
        place = (piece.filename, piece.heading_path)
        known = chapters.get(place) or Chapter(*place, 0, 0, 0)
        key = (piece.sha256, piece.filename, index)
        chapters[place] = Chapter(
            *place,
            known.chunks + 1,
            known.asked + (asked[key] > 0),
            known.accepted + accepted[key],
        )
    return Coverage(list(chapters.values()), list(orders.values()))


# Of a chapter that is shorter nobody expects a question.
_LEAST = 200


def _pieces(project: Project) -> Iterator[tuple[int, _Piece, str, list[Span]]]:
    """Every chunk: its number, where it lies, the text of its whole document and what is hidden."""
    with open_store(project) as store:
        for source in store.sources():
            text, facts = store.content(source.id)
            hidden = json.loads(facts).get("hidden", [])
            for chunk in store.chunks(source.id):
                metadata = json.loads(chunk.metadata)
                piece = _Piece(
                    source.filename,
                    tuple(metadata.get("heading_path") or ()),
                    metadata.get("page_start"),
                    source.sha256,
                    metadata["char_start"],
                    metadata["char_end"],
                )
                yield chunk.chunk_index, piece, text, hidden
