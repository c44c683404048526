"""Where the documents of a project are kept: what every store can do, and which one a project uses.

A kind of store is one file or folder in `stores`. Its name is the kind's name, and it holds one
object `kind` (see `Kind`). Nothing outside of it knows how documents are kept.
"""

import importlib
import os
import pkgutil
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from custom_ai import settings
from custom_ai.documents import stores
from custom_ai.errors import UserError
from custom_ai.projects.project import CORPUS_NAME, Project

Vector = Sequence[float]


class Unreachable(UserError):
    """The place of the documents can't be reached now: no matter of a single document."""


@dataclass(frozen=True)
class Source:
    """A document without its text.

    path: as `originals.stored` names the file, unless `mine` is False: then it came into a shared
    corpus from another project, and no file of this name is looked for here. chunking:
    "tokenizer/size/overlap" that made its chunks. n_pages: None where the format has none.
    """

    id: int
    sha256: str
    path: str
    filename: str
    bytes: int
    media_type: str
    n_pages: int | None
    n_chunks: int
    language: str
    reader: str
    chunking: str
    added_at: str
    mine: bool = True


@dataclass(frozen=True)
class NewSource:
    """A document that is to be stored; facts: a JSON object. The rest is as in `Source`."""

    sha256: str
    path: str
    filename: str
    bytes: int
    media_type: str
    n_pages: int | None
    n_chunks: int
    language: str
    reader: str
    chunking: str
    text: str
    facts: str
    added_at: str


class NewChunk(NamedTuple):
    """A chunk that is to be stored: its text, and a JSON object with where it stands."""

    chunk_text: str
    metadata: dict[str, Any]


class Chunk(NamedTuple):
    """A stored chunk; metadata is JSON."""

    id: int
    source_id: int
    filename: str
    chunk_index: int
    chunk_text: str
    metadata: str
    created_at: str


class Touched(NamedTuple):
    """The chunks of a document that stand on the same pages: how many, and their mean tokens."""

    source_id: int
    page_start: int | None
    page_end: int | None
    chunks: int
    tokens: float


@dataclass(frozen=True)
class Term:
    """One word of a question: how it may be spelled, and in how many chunks it stands.

    asked: the first so many spellings are of the word itself, the rest are longer words that hold
    it; None where there are no others. begins: words that begin like it count as the same word.
    """

    spellings: tuple[str, ...]
    chunks: int
    begins: bool = False
    asked: int | None = None


class Space(NamedTuple):
    """What all vectors have in common, and how many chunks have one."""

    model: str
    dimension: int
    vectors: int


class StoredVector(NamedTuple):
    """The vector of a chunk: `dimension` float32 values, little endian."""

    document_id: int
    model: str
    dimension: int
    vector: bytes


class Words(Protocol):
    """The words of the chunks: of their text, of the file's name and of the headings above."""

    def frequency(self, words: Iterable[str], begins: bool = False) -> int:
        """In how many chunks words stand, each counted by itself; begins: or longer ones."""
        ...

    def containing(self, part: str, limit: int) -> list[tuple[str, str]]:
        """Words of three letters or more that hold a part, as (word, as it is compared)."""
        ...

    def count(self, terms: Sequence[Term]) -> int:
        """How many chunks hold all the words."""
        ...

    def best(
        self, terms: Sequence[Term], every: bool, limit: int, names: bool = False, part: int = 1
    ) -> list[int]:
        """The numbers of the chunks that fit best (BM25), the best first.

        every: they hold all the words, else at least one. names: look only into the names of files
        and the headings. part: look only into every so many-th chunk.
        """
        ...


class Vectors(Protocol):
    """What the chunks mean, as vectors of one model."""

    def space(self) -> Space | None:
        """What the vectors are; None while there are none."""
        ...

    def next_without(self, after: int, limit: int) -> list[Chunk]:
        """The first chunks behind number `after` that have no vector."""
        ...

    def put(self, model: str, vectors: Sequence[tuple[int, Vector]]) -> None:
        """Store the vectors of some chunks, by their numbers, all of them or none.

        A chunk that is gone meanwhile is left out. Raises UserError when there are vectors of
        another model, or of another length.
        """
        ...

    def drop(self) -> None:
        """Forget all vectors."""
        ...

    def nearest(self, model: str, vector: Vector, limit: int) -> list[int]:
        """The numbers of the chunks that mean most nearly the same, the nearest first.

        Raises UserError when the chunks' vectors come from another model than the question's.
        """
        ...

    def all(self) -> Iterator[StoredVector]:
        """Every vector, by the number of its chunk."""
        ...


class Store(Protocol):
    """The documents of a project while they are open. Every change is whole or not at all."""

    @property
    def words(self) -> Words: ...

    @property
    def vectors(self) -> Vectors: ...

    def sources(self) -> list[Source]:
        """Every document, by name."""
        ...

    def source(self, sha256: str) -> Source | None:
        """The document with these bytes."""
        ...

    def source_at(self, path: str) -> Source | None:
        """The document that was made of this project's file of that name."""
        ...

    def content(self, source: int) -> tuple[str, str]:
        """Text and facts (a JSON object) of a document; empty when it is gone."""
        ...

    def counts(self) -> tuple[int, int]:
        """How many documents and how many chunks there are."""
        ...

    def put(self, source: NewSource, chunks: Iterable[NewChunk]) -> None:
        """Store a document in the place of one of the same bytes or the same path."""
        ...

    def rename(self, source: int, path: str, filename: str) -> None:
        """A document's file is called otherwise now; one that stood there before is removed."""
        ...

    def removing(self, source: int) -> AbstractContextManager[None]:
        """Remove a document with its chunks; it stays when the block fails."""
        ...

    def remove_at(self, path: str) -> None:
        """Remove the document that was made of this project's file of that name, if any."""
        ...

    def chunks(self, source: int | None, offset: int = 0, limit: int | None = None) -> list[Chunk]:
        """Chunks of one document or of all, in the order of the documents' numbers."""
        ...

    def chunks_numbered(self, numbers: Sequence[int]) -> dict[int, Chunk]:
        """The chunks with these numbers, those that are there."""
        ...

    def chunk_around(self, source: int, start: int, end: int) -> Chunk | None:
        """The first chunk that holds the characters [start, end), else their beginning."""
        ...

    def all_chunks(self) -> Iterator[Chunk]:
        """Every chunk, by its number."""
        ...

    def touched(self, source: int | None = None) -> list[Touched]:
        """For one document or all: which pages its chunks stand on."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """What is read in the block is of one moment, whoever writes meanwhile."""
        ...


class Kind(Protocol):
    """One way to keep documents; `custom_ai/documents/stores/<name>` holds one as `kind`."""

    def open(self, project: Project) -> AbstractContextManager[Store]:
        """The documents of a project; raises UserError when they can't be reached."""
        ...

    def exists(self, project: Project) -> bool:
        """Whether there is anything to open; False means that there are no documents yet."""
        ...

    def version(self, project: Project) -> str:
        """Another text after every change; cheap, for who asks every second."""
        ...


def names() -> list[str]:
    """Every kind of store, by the names of the files; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(stores.__path__))


def kind_of(project: Project) -> Kind:
    """How this project keeps its documents: in its own file, or in the corpus it shares."""
    if not project.config_file.exists() or not (corpus := project.config.corpus):
        return _kind("sqlite")
    name = urlsplit(corpus_address()).scheme
    if not name:
        raise Unreachable("documents.no_corpus_address", corpus=corpus)
    if name not in names() or name == "sqlite":
        raise Unreachable("documents.unknown_corpus_kind", name=name)
    return _kind(name)


def choose(project: Project, corpus: str) -> None:
    """Have the documents of a project lie in this corpus; "": in the project itself.

    What lies in the other place stays there. Raises UserError when the corpus can't be reached or
    the name can't be one; then nothing has changed.
    """
    if not re.fullmatch(CORPUS_NAME, corpus):
        raise UserError("documents.bad_corpus_name", name=corpus)
    before = project.config.corpus
    project.change(corpus=corpus)
    try:
        with open_store(project):
            pass
    except BaseException:
        project.change(corpus=before)
        raise


def corpus_address() -> str:
    """Where shared corpora lie: CUSTOM_AI_SHARED_CORPUS, else what the settings say."""
    return os.environ.get("CUSTOM_AI_SHARED_CORPUS", "").strip() or settings.load().shared_corpus


def open_store(project: Project) -> AbstractContextManager[Store]:
    """The documents of a project for the length of a `with` block."""
    return kind_of(project).open(project)


def exists(project: Project) -> bool:
    """Whether the project has a place for documents yet; opening it would make one."""
    return kind_of(project).exists(project)


def version(project: Project) -> str:
    """Another text after every change of the documents."""
    return kind_of(project).version(project)


def _kind(name: str) -> Kind:
    kind: Kind = importlib.import_module(f"{stores.__name__}.{name}").kind
    return kind
