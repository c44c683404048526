"""The documents of a project: bringing files in, having them read, the table."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from anyio import from_thread, to_thread
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.requests import ClientDisconnect

from custom_ai.documents import library, originals, reader
from custom_ai.documents.embed import without_vector
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.projects.lock import writing
from custom_ai.projects.project import Project
from custom_ai.providers.ollama_embed import full_name
from custom_ai.runs import requests, runner
from custom_ai.runs import run as runs
from custom_ai.runs.run import ACTIVE, Run
from custom_ai.ui import shelf
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import render
from custom_ai.ui.shelf import Entry

router = APIRouter(prefix="/api/documents", route_class=Spoken, default_response_class=HTMLResponse)

Sort = Literal["name", "pages", "chunks", "size"]
Filter = Literal["all", "failed", "waiting", "check", "read"]
Key = Annotated[str, Form()]

PAGE = 50

RESUMABLE = ("paused", "interrupted", "failed")

# What waits is looked up and begun in one go, should two windows ask at the same moment.
_starting = threading.Lock()


@router.post("/upload")
async def upload(request: Request, project: Here, name: str) -> Response:
    """Keep one file in the project; its bytes are the body, as they come. Nothing is read yet.

    name: as the browser knows it, with the folders it was dropped with. Answers {"replaced": …}:
    whether it took the place of a document's file.
    """
    pieces = request.stream()

    def keep() -> bool:
        path = originals.keep(project, name, _from_thread(pieces))
        with open_store(project) as store:
            return store.source_at(originals.stored(project, path)) is not None

    try:
        reader.reader_for(Path(name))
        replaced = await to_thread.run_sync(keep)
    except ClientDisconnect:
        return Response(status_code=400)
    except (UserError, OSError):
        # A browser hears the answer only after it has said everything.
        await _drain(pieces)
        raise
    return JSONResponse({"replaced": replaced})


@router.post("/read")
def read(project: Here, patient: bool = False) -> Response:
    """Begin to read the files that wait.

    patient: while another run is at work, or reading was paused, answer 202 instead of an error;
    whoever asked will ask again. Nothing to read, nothing happens.
    """
    with _starting:
        waiting = shelf.look(project).waiting
        newest = shelf.newest_run(project)
        if waiting and patient and (_at_work(project) or (newest and newest.state == "paused")):
            return Response(status_code=202)
        if waiting:
            _begin(project, waiting)
    return _changed()


@router.post("/reread")
def reread(project: Here) -> Response:
    """Cut the documents anew that were cut with other sizes."""
    with _starting:
        paths, _ = shelf.look(project).outdated()
        if paths:
            _begin(project, paths)
    return _changed()


@router.get("/todo")
def todo(project: Here) -> str:
    """What could be read now: files that wait, and documents that were cut with other sizes.

    Nothing while a run is at work.
    """
    if _at_work(project):
        return ""
    found = shelf.look(project)
    outdated, gone = found.outdated()
    newest = shelf.newest_run(project)
    # The card of an interrupted run says by itself how to go on with its files.
    in_hand = newest and newest.state in RESUMABLE and _covers(newest, project, found.waiting)
    return render(
        "documents_todo",
        waiting=0 if in_hand else len(found.waiting),
        outdated=len(outdated),
        gone=gone,
        config=project.config,
        unembedded=_unembedded(project),
    )


@router.post("/embed")
def embed(project: Here) -> Response:
    """Begin to turn the chunks into vectors, or go on with it."""
    runner.start(project, "embed", requests.embedding(project))
    return _changed()


@router.get("/table")
def table(
    project: Here,
    q: str = "",
    show: Filter = "all",
    sort: Sort = "name",
    down: bool = False,
    page: int = 1,
) -> str:
    """The table of documents."""
    everything = shelf.look(project).entries()
    counts = {"all": len(everything)}
    for entry in everything:
        counts[entry.status] = counts.get(entry.status, 0) + 1
    if show not in counts:
        show = "all"  # the last one of its kind is gone
    wanted = q.strip().casefold()
    found = [e for e in everything if show in ("all", e.status) and wanted in e.name.casefold()]
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(1, page), pages)
    return render(
        "documents_table",
        entries=_sorted(found, sort, down)[(page - 1) * PAGE : page * PAGE],
        found=len(found),
        counts=counts,
        show=show,
        sort=sort,
        down=down,
        page=page,
        pages=pages,
        first=(page - 1) * PAGE,
    )


@router.post("/{number}/remove")
def remove(number: int, project: Here) -> Response:
    """Remove a document, with its file where that lies in the project."""
    with writing(project, "documents remove"):
        library.remove(project, number)
    return _changed()


@router.post("/files/discard")
def discard(key: Key, project: Here) -> Response:
    """Delete a file of the project that failed or waits."""
    with writing(project, "documents remove"):
        for path in _named(project, key):
            originals.discard(project, path)
    return _changed()


@router.post("/files/retry")
def retry(key: Key, project: Here) -> Response:
    """Try again to read a file that failed."""
    with _starting:
        if paths := _named(project, key):
            _begin(project, paths)
    return _changed()


def _from_thread(pieces: AsyncIterator[bytes]) -> Iterator[bytes]:
    """What arrives, for a thread that writes it: it waits for each piece."""
    while piece := from_thread.run(anext, pieces, b""):
        yield piece


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    left = reader.MAX_BYTES
    with suppress(ClientDisconnect):
        async for piece in pieces:
            left -= len(piece)
            if left < 0:
                return


def _begin(project: Project, paths: list[Path]) -> None:
    """Start a run for these files, or go on with one that was to read them anyway."""
    newest = shelf.newest_run(project)
    if newest and newest.state in RESUMABLE and _covers(newest, project, paths):
        runner.resume(newest)
    else:
        runner.start(project, "documents", requests.documents(paths, project))


def _covers(run: Run, project: Project, paths: list[Path]) -> bool:
    """Whether the run was asked for all these files."""
    asked = requests.documents(paths, project)["paths"]
    return set(asked) <= set(run.request()["options"]["paths"])


def _unembedded(project: Project) -> int:
    """How many chunks the search by meaning does not know yet, where the project wants it."""
    chosen = project.config.embedding_model
    if not chosen:
        return 0
    with open_store(project) as store:
        return without_vector(store, full_name(chosen))


def _at_work(project: Project) -> bool:
    return any(run.state in ACTIVE for run in runs.all_runs(project))


def _named(project: Project, key: str) -> list[Path]:
    """The file that failed or waits under this name; what is on neither list is none."""
    found = shelf.look(project)
    files = [*(file.path for file in found.failed), *found.waiting]
    return [path for path in files if originals.stored(project, path) == key]


def _sorted(entries: list[Entry], sort: Sort, down: bool) -> list[Entry]:
    """By the wished column; what has no value there comes last, either way."""
    entries = sorted(entries, key=lambda entry: entry.name.casefold())
    if sort == "name":
        return entries[::-1] if down else entries
    column = "bytes" if sort == "size" else sort
    known = [entry for entry in entries if getattr(entry, column) is not None]
    unknown = [entry for entry in entries if getattr(entry, column) is None]
    return [*sorted(known, key=lambda entry: getattr(entry, column), reverse=down), *unknown]


def _changed() -> Response:
    """Files come and go without a trace in the database: say it, besides looking at once."""
    return Response(status_code=204, headers={"HX-Trigger": "ca:documents, ca:look"})
