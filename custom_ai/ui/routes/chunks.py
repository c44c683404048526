"""Looking into the chunks: page by page, or what a search finds."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from custom_ai.documents import chunks, hybrid, library
from custom_ai.documents.chunks import ChunkView
from custom_ai.documents.counting import estimated
from custom_ai.documents.hits import FoundBy, Hit
from custom_ai.projects.project import Project
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import render

router = APIRouter(prefix="/api/documents", route_class=Spoken, default_response_class=HTMLResponse)

PAGE = 10
MOST_HITS = 20

Spans = list[tuple[int, int]]


@dataclass(frozen=True)
class Shown:
    """A chunk on the screen. snippet: around what was found; spans: where in the whole text and,
    as snippet_spans, where in the snippet the found words stand."""

    chunk: ChunkView
    spans: Spans
    snippet: str = ""
    snippet_spans: Spans | None = None
    found_by: FoundBy = "words"


@router.get("/chunks")
def look(
    project: Here,
    q: str = "",
    document: str = "",
    page: int = 1,
    mode: hybrid.Mode | Literal[""] = "",
) -> str:
    """The chunks of all documents or of one; with a query the best hits among all."""
    if q.strip():
        return _found(project, q.strip(), mode or None)
    only = _document(project, document)
    number = only.id if only else None
    # A page that was there before documents were removed: the last one takes its place.
    total = chunks.page(project, number, 0, 0).total
    pages = max(1, -(-total // PAGE))
    page = min(max(1, page), pages)
    found = chunks.page(project, number, (page - 1) * PAGE, PAGE)
    return render(
        "documents_chunks",
        shown=[Shown(item, []) for item in found.items],
        estimated=partial(estimated, project),
        query="",
        only=only,
        total=found.total,
        first=found.offset,
        page=page,
        pages=pages,
    )


def _found(project: Project, query: str, mode: hybrid.Mode | None) -> str:
    by_meaning = hybrid.has_meaning(project)
    # The choice of a window whose project has lost its vectors meanwhile.
    found = hybrid.find(project, query, MOST_HITS, mode if by_meaning else None)
    return render(
        "documents_chunks",
        shown=[shown for hit in found.hits if (shown := _hit(project, hit))],
        query=query,
        most=MOST_HITS,
        only=None,
        by_meaning=by_meaning,
        mode=mode or "both",
        shortfall=found.shortfall,
        estimated=partial(estimated, project),
    )


def _document(project: Project, number: str) -> library.Document | None:
    """The document of that number; all of them once it is gone."""
    return next((d for d in library.list_all(project) if str(d.id) == number), None)


def _hit(project: Project, hit: Hit) -> Shown | None:
    """The chunk behind a hit; None when it was removed meanwhile."""
    found = chunks.page(project, hit.document, hit.chunk_index, 1).items
    if not found or found[0].id != hit.chunk:
        return None
    return Shown(found[0], hit.spans, hit.snippet, hit.highlights, hit.found_by)
