"""The documents of a project: adding files so that nothing is half done, listing, removing."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from custom_ai.documents import ocr, originals, reader, tokens
from custom_ai.documents.advance import Advance
from custom_ai.documents.chunker import Chunk, check_sizes, pieces
from custom_ai.documents.folders import FoundFile, expand
from custom_ai.documents.language import language_of
from custom_ai.documents.reader_process import Limits, ReaderProcess
from custom_ai.documents.store import NewChunk, NewSource, Source, Store, Unreachable, open_store
from custom_ai.errors import UserError, from_os_error
from custom_ai.projects.project import Project
from custom_ai.step import Step


@dataclass
class Added:
    """What adding files came to.

    added: files that were read, also those that replace an older version; unchanged: files whose
    content the project holds already; failed: {"file", "error": {"message", "hint", "code", …}},
    the file named as `originals.stored` does; chunks: how many chunks the added files have.
    """

    added: int = 0
    unchanged: int = 0
    failed: list[dict[str, Any]] = field(default_factory=list)
    chunks: int = 0

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return asdict(self)


@dataclass(frozen=True)
class Document:
    """A file in the project, as a list shows it; `pages` is None where the format has none."""

    id: int
    filename: str
    path: str
    bytes: int
    media_type: str
    pages: int | None
    chunks: int
    language: str
    reader: str
    added_at: str


def add(
    project: Project,
    paths: Sequence[Path],
    step: Step,
    tokenizer_file: Path = tokens.STARTER,
    tokenizer_name: str = "starter",
    limits: Limits | None = None,
) -> Added:
    """Read files and folders into the project, each file as a whole or not at all.

    A file whose bytes the project holds is left alone, unless the chunk size, the overlap or the
    tokenizer have changed; a changed file takes the place of its older version. A file that can't
    be read is listed as failed and costs the others nothing. Killed at any moment and called
    again, it ends the same. `limits` are what the reading of one file may take. Raises Stopped
    between two files, or in the middle of one, of which then nothing is kept.
    """
    result = Added()
    counter = tokens.load(tokenizer_file, tokenizer_name)
    config = project.config
    cutting = _Cutting(counter, config.chunk_tokens, config.chunk_overlap)
    check_sizes(cutting.size, cutting.overlap)
    found, failures = expand(paths)
    found = [f._replace(filename=originals.name_of(project, f.path) or f.filename) for f in found]
    for path, error in failures:
        result.failed.append(_failure(project, path, error))
    advance = Advance(step, found)
    with open_store(project) as store, ReaderProcess(limits) as process:
        read = partial(process.read, watch=advance.page)
        for file in found:
            advance.next_file()
            try:
                parsed = _add_file(store, project, file, read, cutting, advance, result)
            except Unreachable:
                # The other files would fare no better: the run ends and can be continued.
                raise
            except (UserError, OSError, MemoryError) as error:
                result.failed.append(_failure(project, file.path, _explain(error)))
                step.warn("documents.log.failed", file=file.filename, reason=_explain(error))
            else:
                if parsed and parsed.unread:
                    n, of = len(parsed.unread), len(parsed.pages or ())
                    step.warn("documents.log.unread_pages", file=file.filename, unread=n, pages=of)
        advance.done()
    return result


def list_all(project: Project) -> list[Document]:
    """Every document of the project, by name."""
    with open_store(project) as store:
        return [_document(project, source) for source in store.sources()]


def find(project: Project, name_or_id: str | int) -> Document:
    """One document of the project.

    Takes its name, its path or its number. Raises UserError when there is none, or when several
    have that name.
    """
    wanted = str(name_or_id)
    documents = list_all(project)
    found = [d for d in documents if wanted in (d.filename, d.path)]
    found = found or [d for d in documents if str(d.id) == wanted]
    if not found:
        raise UserError("documents.unknown", name=wanted)
    if len(found) > 1:
        choices = ", ".join(f"{d.id} ({d.path})" for d in found)
        raise UserError("documents.ambiguous", name=wanted, choices=choices)
    return found[0]


def remove(project: Project, name_or_id: str | int) -> Document:
    """Remove a document with its chunks, and its file where that lies in the project itself.

    Returns what it was; raises UserError as `find`. Killed in between, it is still there and can
    be removed again.
    """
    document = find(project, name_or_id)
    with open_store(project) as store, store.removing(document.id):
        # Before the commit: a file that outlived its document would come back with the next run.
        originals.discard(project, Path(document.path))
    return document


def _document(project: Project, source: Source) -> Document:
    path = originals.located(project, source.path) if source.mine else source.path
    return Document(
        id=source.id,
        filename=source.filename,
        path=str(path),
        bytes=source.bytes,
        media_type=source.media_type,
        pages=source.n_pages,
        chunks=source.n_chunks,
        language=source.language,
        reader=source.reader,
        added_at=source.added_at,
    )


@dataclass(frozen=True)
class _Cutting:
    """How texts become chunks in this project."""

    counter: tokens.Tokens
    size: int
    overlap: int

    @property
    def identity(self) -> str:
        """Equal for what makes equal chunks."""
        return f"{self.counter.identity}/{self.size}/{self.overlap}"

    def chunks(self, parsed: reader.Parsed, advance: Advance) -> list[Chunk]:
        """Cut a text."""
        headings = [heading.offset for heading in parsed.headings]
        found = []
        for piece in pieces(parsed.text, self.counter, self.size, self.overlap, headings):
            found.append(piece)
            advance.cut(piece.end / len(parsed.text))
        return found


def _add_file(
    store: Store,
    project: Project,
    file: FoundFile,
    read: Callable[[Path], reader.Parsed],
    cutting: _Cutting,
    advance: Advance,
    result: Added,
) -> reader.Parsed | None:
    """Add one file; returns what was read, None where the project holds it already."""
    reader_name, _ = reader.reader_for(file.path)
    # Before anything reads all its bytes.
    reader.check(file.path)
    before = _fingerprint(file.path)
    digest = _sha256(file.path)
    if _is_unchanged(store, project, file, digest, cutting.identity, reader_name):
        result.unchanged += 1
        return None
    parsed = read(file.path)
    if _fingerprint(file.path) != before:
        raise UserError("documents.changed_while_reading", name=file.path.name)
    content = _Content(file, digest, parsed, cutting.chunks(parsed, advance), cutting, reader_name)
    store.put(content.source(project), content.chunks())
    result.added += 1
    result.chunks += len(content.pieces)
    return parsed


def _is_unchanged(
    store: Store,
    project: Project,
    file: FoundFile,
    digest: str,
    chunking: str,
    reader_name: str,
) -> bool:
    """Whether the project holds these bytes, cut the same way, under this path or another."""
    known = store.source(digest)
    if known is None or known.chunking != chunking:
        return False
    if ocr.would_help(json.loads(store.content(known.id)[1])):
        return False
    path = originals.stored(project, file.path)
    if known.mine and known.path == path:
        return known.reader == reader_name
    if not known.mine or _holds(originals.located(project, known.path), digest):
        # A copy of a file that is still there; what stood at this path before is gone.
        store.remove_at(path)
        return True
    if known.reader != reader_name:
        return False
    # The file has been renamed or moved: it keeps its chunks.
    store.rename(known.id, path, file.filename)
    return True


@dataclass(frozen=True)
class _Content:
    """All that goes into the store for one file."""

    file: FoundFile
    sha256: str
    parsed: reader.Parsed
    pieces: list[Chunk]
    cutting: _Cutting
    reader: str

    def source(self, project: Project) -> NewSource:
        """The document."""
        parsed = self.parsed
        return NewSource(
            sha256=self.sha256,
            path=originals.stored(project, self.file.path),
            filename=self.file.filename,
            bytes=self.file.path.stat().st_size,
            media_type=parsed.media_type,
            n_pages=None if parsed.pages is None else len(parsed.pages),
            n_chunks=len(self.pieces),
            language=language_of(parsed.text),
            reader=self.reader,
            chunking=self.cutting.identity,
            text=parsed.text,
            facts=json.dumps(parsed.facts()),
            added_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def chunks(self) -> Iterator[NewChunk]:
        """Its chunks, in their order."""
        for piece in self.pieces:
            yield NewChunk(self.parsed.text[piece.start : piece.end], self.metadata(piece))

    def metadata(self, piece: Chunk) -> dict[str, Any]:
        """What is kept about one chunk."""
        text, parsed = self.parsed.text, self.parsed
        inner = text[piece.start : piece.end]
        # Blank lines before a heading do not belong to the section above it.
        first = piece.start + len(inner) - len(inner.lstrip())
        last = piece.start + max(1, len(inner.rstrip())) - 1
        return {
            "char_start": piece.start,
            "char_end": piece.end,
            "page_start": parsed.page(min(first, last)),
            "page_end": parsed.page(last),
            "heading_path": parsed.heading_path(first),
            "n_tokens": piece.n_tokens,
            "tokenizer": self.cutting.counter.identity,
            "source_sha256": self.sha256,
            "reader": self.reader,
        }


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fingerprint(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


def _holds(path: Path, digest: str) -> bool:
    return path.is_file() and _sha256(path) == digest


def _explain(error: UserError | OSError | MemoryError) -> UserError:
    if isinstance(error, UserError):
        return error
    if isinstance(error, MemoryError):
        return UserError("errors.out_of_memory")
    # A full disk is no matter of one file: it ends the step, and so does what we can't explain.
    explained = from_os_error(error)
    if explained is None or explained.code == "errors.disk_full":
        raise error
    return explained


def _failure(project: Project, path: Path, error: UserError) -> dict[str, Any]:
    return {"file": originals.stored(project, path), "error": error.as_json()}
