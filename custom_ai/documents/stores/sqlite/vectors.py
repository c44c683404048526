"""The vectors of the chunks in SQLite: stored beside them, and searched exactly."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from custom_ai.documents.store import Chunk, Space, StoredVector, Vector
from custom_ai.errors import UserError
from custom_ai.projects import database

if TYPE_CHECKING:
    import numpy as np

# The matrices of so many projects are kept at hand: 100 000 vectors of 384 numbers take 154 MB.
_KEPT = 2


@dataclass(frozen=True)
class _Matrix:
    """state: of the vectors it was made of. numbers: the chunks, one for each row."""

    state: tuple[str, int, int]
    numbers: "np.ndarray"
    rows: "np.ndarray"


_matrices: OrderedDict[Path, _Matrix] = OrderedDict()
_loading = threading.Lock()


class SqliteVectors:
    """path: of the database, under which its matrix is kept in memory."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def space(self) -> Space | None:
        """What the vectors are; None while there are none."""
        row = self._db.execute("SELECT model, dimension, vectors FROM embedding_space").fetchone()
        return Space(*row) if row and row["vectors"] else None

    def next_without(self, after: int, limit: int) -> list[Chunk]:
        """The first chunks behind number `after` that have no vector."""
        rows = self._db.execute(
            f"SELECT {', '.join(Chunk._fields)} FROM documents WHERE id > ? AND NOT EXISTS"
            " (SELECT 1 FROM embeddings WHERE document_id = documents.id) ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [Chunk(*row) for row in rows]

    def put(self, model: str, vectors: Sequence[tuple[int, Vector]]) -> None:
        """Store the vectors of some chunks, by their numbers, in one transaction."""
        import numpy as np

        if not vectors:
            return
        db, dimension = self._db, len(vectors[0][1])
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
                ((model, dimension, np.asarray(v, "<f4").tobytes(), id_) for id_, v in vectors),
            )

    def drop(self) -> None:
        """Forget all vectors."""
        with database.transaction(self._db):
            # With a condition, so that the triggers see every row go.
            self._db.execute("DELETE FROM embeddings WHERE TRUE")

    def nearest(self, model: str, vector: Vector, limit: int) -> list[int]:
        """The numbers of the chunks that mean most nearly the same, the nearest first."""
        import numpy as np

        matrix = self._matrix()
        if matrix is None:
            return []
        if matrix.state[:2] != (model, len(vector)):
            raise UserError("documents.vectors_mixed", model=model, stored=matrix.state[0])
        scores = matrix.rows @ np.asarray(vector, "<f4")
        count = min(limit, len(scores))
        best = np.argpartition(-scores, count - 1)[:count]
        return [int(n) for n in matrix.numbers[best[np.argsort(-scores[best], kind="stable")]]]

    def all(self) -> Iterator[StoredVector]:
        """Every vector, by the number of its chunk."""
        columns = ", ".join(StoredVector._fields)
        rows = self._db.execute(f"SELECT {columns} FROM embeddings ORDER BY document_id, model")
        yield from map(StoredVector._make, rows)

    def _matrix(self) -> _Matrix | None:
        """All vectors as rows; read again only after they have changed."""
        db = self._db
        statement = "SELECT model, dimension, stamp, vectors FROM embedding_space"
        with _loading:
            # One moment of the database, whoever writes to it meanwhile.
            db.execute("BEGIN")
            try:
                row = db.execute(statement).fetchone()
                if not row or not row["vectors"]:
                    _matrices.pop(self._path, None)
                    return None
                state = row["model"], row["dimension"], row["stamp"]
                kept = _matrices.pop(self._path, None)
                if kept is None or kept.state != state:
                    kept = _load(db, state, row["vectors"])
            finally:
                db.execute("COMMIT")
            _matrices[self._path] = kept
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
