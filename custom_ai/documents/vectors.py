"""The vectors of a project's chunks: stored beside them, and searched exactly."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from custom_ai.errors import UserError
from custom_ai.projects import database

if TYPE_CHECKING:
    import numpy as np

# The matrices of so many projects are kept at hand: 100 000 vectors of 384 numbers take 154 MB.
_KEPT = 2


@dataclass(frozen=True)
class Space:
    """What all vectors of a project have in common, and how many chunks have one."""

    model: str
    dimension: int
    vectors: int


@dataclass(frozen=True)
class _Matrix:
    """state: of the vectors it was made of. numbers: the chunks, one for each row."""

    state: tuple[str, int, int]
    numbers: "np.ndarray"
    rows: "np.ndarray"


_matrices: OrderedDict[Path, _Matrix] = OrderedDict()
_loading = threading.Lock()


def space(db: sqlite3.Connection) -> Space | None:
    """What the vectors are; None while there are none."""
    row = db.execute("SELECT model, dimension, vectors FROM embedding_space").fetchone()
    return Space(*row) if row and row["vectors"] else None


def missing(db: sqlite3.Connection, model: str) -> int:
    """How many chunks have no vector of this model."""
    chunks = int(db.execute("SELECT total(n_chunks) FROM sources").fetchone()[0])
    found = space(db)
    return chunks - (found.vectors if found and found.model == model else 0)


def next_without(db: sqlite3.Connection, after: int, limit: int) -> list[sqlite3.Row]:
    """The first chunks behind number `after` that have no vector: id, chunk_text, metadata."""
    return db.execute(
        "SELECT id, chunk_text, metadata FROM documents WHERE id > ? AND NOT EXISTS"
        " (SELECT 1 FROM embeddings WHERE document_id = documents.id) ORDER BY id LIMIT ?",
        (after, limit),
    ).fetchall()


def put(db: sqlite3.Connection, model: str, vectors: Sequence[tuple[int, Sequence[float]]]) -> None:
    """Store the vectors of some chunks, by their numbers, in one transaction.

    A chunk that is gone meanwhile is left out. Raises UserError when the project has vectors of
    another model, or of another length.
    """
    import numpy as np

    if not vectors:
        return
    dimension = len(vectors[0][1])
    with database.transaction(db):
        db.execute(
            "INSERT INTO embedding_space VALUES (1, ?, ?, 0, 0) ON CONFLICT (id) DO UPDATE"
            " SET model = excluded.model, dimension = excluded.dimension WHERE vectors = 0",
            (model, dimension),
        )
        here = db.execute("SELECT model, dimension FROM embedding_space").fetchone()
        if tuple(here) != (model, dimension) or any(len(v) != dimension for _, v in vectors):
            raise UserError("documents.vectors_mixed", model=model, stored=here["model"])
        db.executemany(
            "INSERT INTO embeddings SELECT id, ?, ?, ? FROM documents WHERE id = ?",
            ((model, dimension, np.asarray(v, "<f4").tobytes(), number) for number, v in vectors),
        )


def drop(db: sqlite3.Connection) -> None:
    """Forget all vectors."""
    with database.transaction(db):
        # With a condition, so that the triggers see every row go.
        db.execute("DELETE FROM embeddings WHERE TRUE")


def nearest(
    db: sqlite3.Connection, path: Path, model: str, vector: Sequence[float], limit: int
) -> list[int]:
    """The numbers of the chunks that mean most nearly the same, the nearest first.

    path: of the database, under which its matrix is kept in memory. Raises UserError when the
    chunks' vectors come from another model than the question's.
    """
    import numpy as np

    matrix = _matrix(db, path)
    if matrix is None:
        return []
    if matrix.state[:2] != (model, len(vector)):
        raise UserError("documents.vectors_mixed", model=model, stored=matrix.state[0])
    scores = matrix.rows @ np.asarray(vector, "<f4")
    count = min(limit, len(scores))
    best = np.argpartition(-scores, count - 1)[:count]
    return [int(n) for n in matrix.numbers[best[np.argsort(-scores[best], kind="stable")]]]


def _matrix(db: sqlite3.Connection, path: Path) -> _Matrix | None:
    """All vectors as rows; read again only after they have changed."""
    statement = "SELECT model, dimension, stamp, vectors FROM embedding_space"
    with _loading:
        # One moment of the database, whoever writes to it meanwhile.
        db.execute("BEGIN")
        try:
            row = db.execute(statement).fetchone()
            if not row or not row["vectors"]:
                _matrices.pop(path, None)
                return None
            state = row["model"], row["dimension"], row["stamp"]
            kept = _matrices.pop(path, None)
            if kept is None or kept.state != state:
                kept = _load(db, state, row["vectors"])
        finally:
            db.execute("COMMIT")
        _matrices[path] = kept
        while len(_matrices) > _KEPT:
            _matrices.popitem(last=False)
        return kept


def _load(db: sqlite3.Connection, state: tuple[str, int, int], count: int) -> _Matrix:
    import numpy as np

    numbers = np.empty(count, np.int64)
    rows = np.empty((count, state[1]), np.float32)
    stored = db.execute("SELECT document_id, vector FROM embeddings ORDER BY document_id")
    for place, (number, vector) in enumerate(stored):
        numbers[place] = number
        rows[place] = np.frombuffer(vector, "<f4")
    return _Matrix(state, numbers, rows)
