"""The documents of a project as people see them: read, failed, or waiting to be read."""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

from custom_ai.documents import library, originals
from custom_ai.documents.library import Document
from custom_ai.documents.quality import Quality, quality
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.runs.failures import FailedFile, failures
from custom_ai.runs.run import ACTIVE, Run

Status = Literal["failed", "waiting", "check", "read"]

# Judging reads every text: it is done once for each state of the library.
_judged: OrderedDict[Path, tuple[int, dict[int, Quality]]] = OrderedDict()
_judging = threading.Lock()
_KEPT = 8


@dataclass(frozen=True)
class Entry:
    """One line of the table of documents.

    key: how a request names it: the number of a document that was read, else the file's name as
    the project stores it. own: the file lies in the project itself. bytes is None where the file
    is gone; what only a document has is None for a file.
    """

    status: Status
    key: str
    name: str
    own: bool
    bytes: int | None
    document: Document | None = None
    quality: Quality | None = None
    error: UserError | None = None

    @property
    def pages(self) -> int | None:
        return self.document.pages if self.document else None

    @property
    def chunks(self) -> int | None:
        return self.document.chunks if self.document else None

    @property
    def kind(self) -> str:
        """What the end of the name says: "PDF"."""
        return Path(self.name).suffix[1:].upper()


@dataclass(frozen=True)
class Shelf:
    """All documents and files of a project.

    documents: what was read, with the identity of its chunking. failed: files that could not be
    read. waiting: files kept in the project whose content nobody has tried to read yet.
    """

    project: Project
    documents: dict[int, tuple[Document, str]]
    failed: list[FailedFile]
    waiting: list[Path]

    def entries(self) -> list[Entry]:
        """A line for each, in no particular order."""
        return [*self._failed(), *self._waiting(), *self._read()]

    def outdated(self) -> tuple[list[Path], int]:
        """The files of documents that were cut with other sizes than the project's, and how many
        more there are whose files are gone."""
        config = self.project.config
        sizes = f"/{config.chunk_tokens}/{config.chunk_overlap}"
        old = [Path(d.path) for d, how in self.documents.values() if not how.endswith(sizes)]
        there = [path for path in old if path.is_file()]
        return there, len(old) - len(there)

    def _failed(self) -> Iterator[Entry]:
        for file in self.failed:
            yield self._file("failed", file.path, file.error)

    def _waiting(self) -> Iterator[Entry]:
        for path in self.waiting:
            yield self._file("waiting", path)

    def _file(self, status: Status, path: Path, error: UserError | None = None) -> Entry:
        own = originals.name_of(self.project, path)
        size = path.stat().st_size if path.is_file() else None
        key = originals.stored(self.project, path)
        return Entry(status, key, own or path.name, own is not None, size, error=error)

    def _read(self) -> Iterator[Entry]:
        signs = self._signs()
        for number, (document, _) in self.documents.items():
            found = signs.get(number)
            status: Status = "check" if found and found.reasons else "read"
            own = originals.name_of(self.project, Path(document.path)) is not None
            yield Entry(
                status, str(number), document.filename, own, document.bytes, document, found
            )

    def _signs(self) -> dict[int, Quality]:
        """The signs of quality; while documents are being read, those of the state before."""
        documents = tuple((n, d.added_at, how) for n, (d, how) in self.documents.items())
        # Whether a count of tokens is an estimate depends on the model.
        state = hash((self.project.config.base_model, documents))
        with _judging:
            known, signs = _judged.pop(self.project.database, (None, {}))
            newest = newest_run(self.project)
            if known != state and not (newest and newest.state in ACTIVE):
                known, signs = state, quality(self.project)
            if known is not None:
                _judged[self.project.database] = known, signs
            while len(_judged) > _KEPT:
                _judged.popitem(last=False)
        return signs


def look(project: Project) -> Shelf:
    """Read what there is."""
    with open_store(project) as store:
        known = {source.id: source for source in store.sources()}
    listed = [d for d in library.list_all(project) if d.id in known]
    failed = failures(project)
    waiting = _waiting(project, listed, {source.sha256 for source in known.values()}, failed)
    unread = set(waiting)
    return Shelf(
        project,
        {d.id: (d, known[d.id].chunking) for d in listed},
        [file for file in failed if file.path not in unread],
        waiting,
    )


def newest_run(project: Project) -> Run | None:
    """The newest run that reads documents."""
    found = [run for run in runs.all_runs(project) if run.task == "documents"]
    return found[-1] if found else None


def _waiting(
    project: Project, documents: list[Document], contents: set[str], failed: list[FailedFile]
) -> list[Path]:
    held = {_real(Path(d.path)): d for d in documents}
    tried = {file.path: _asked_at(project, file.run) for file in failed}
    found = []
    for path in _files(project):
        status = path.stat()
        same = held.get(path)
        if same and same.bytes == status.st_size and status.st_mtime <= _seconds(same.added_at):
            continue
        if path in tried and status.st_mtime <= tried[path]:
            continue
        # A copy of a document that is there under another name counts as read, too.
        if _sha256(path, status.st_mtime_ns, status.st_size) not in contents:
            found.append(path)
    return found


def _files(project: Project) -> list[Path]:
    """The files people put into the project; half-written ones have hidden names."""
    root = _real(project.originals)
    return sorted(p for p in root.rglob("*") if not p.name.startswith(".") and p.is_file())


def _asked_at(project: Project, number: int) -> float:
    return _seconds(str(runs.find(project, number).request()["created_at"]))


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


@lru_cache(maxsize=20_000)
def _sha256(path: Path, changed: int, size: int) -> str:
    """changed, size: of the file as it is now, so that another version is another question."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
