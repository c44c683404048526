"""The vectors of the chunks in PostgreSQL, by the extension pgvector."""

import json
from collections.abc import Iterator, Sequence

from custom_ai.documents.store import Chunk, Space, StoredVector, Vector
from custom_ai.documents.stores.postgresql.connection import Database, array
from custom_ai.errors import UserError

_CHUNK = ", ".join(Chunk._fields)
_BATCH = 500
# The index of neighbours takes no longer vectors, and looks at so many places of it.
_LONGEST_INDEXED = 2_000
_LOOKED_AT = 200

_TABLE = """
    CREATE TABLE IF NOT EXISTS embeddings (
        document_id bigint PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
        vector vector NOT NULL
    )
"""


class PostgresVectors:
    """What `store.Vectors` promises."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def space(self) -> Space | None:
        """What the vectors are; None while there are none."""
        model, dimension = self._kind()
        if model is None:
            return None
        count = int(self._db.value("SELECT count(*) FROM embeddings"))
        return Space(model, dimension or 0, count) if count else None

    def next_without(self, after: int, limit: int) -> list[Chunk]:
        """The first chunks behind number `after` that have no vector."""
        model, _ = self._kind()
        none = "NOT EXISTS (SELECT 1 FROM embeddings WHERE document_id = documents.id)"
        rows = self._db.run(
            f"SELECT {_CHUNK} FROM documents WHERE id > :after AND {none if model else 'TRUE'}"
            " ORDER BY id LIMIT :most",
            after=after,
            most=limit,
        )
        return [Chunk(*row) for row in rows]

    def put(self, model: str, vectors: Sequence[tuple[int, Vector]]) -> None:
        """Store the vectors of some chunks, by their numbers, in one transaction."""
        if not vectors:
            return
        dimension = len(vectors[0][1])
        if self._kind()[0] is None:
            self._extend()
        with self._db.writing():
            here = self._kind()
            if here[0] is None:
                self._db.run(_TABLE)
            if here != (model, dimension) and self.space() is None:
                self._become(model, dimension)
                here = model, dimension
            if here != (model, dimension) or any(len(v) != dimension for _, v in vectors):
                raise UserError("documents.vectors_mixed", model=model, stored=here[0])
            self._db.run(
                "INSERT INTO embeddings SELECT documents.id, CAST(new.vector AS vector) FROM"
                " unnest(CAST(:numbers AS bigint[]), CAST(:vectors AS text[])) AS new (id, vector)"
                " JOIN documents USING (id)",
                numbers=[number for number, _ in vectors],
                vectors=array(json.dumps([float(x) for x in vector]) for _, vector in vectors),
            )

    def drop(self) -> None:
        """Forget all vectors."""
        if self._kind()[0] is not None:
            with self._db.writing():
                self._db.run("DELETE FROM embeddings")

    def nearest(self, model: str, vector: Vector, limit: int) -> list[int]:
        """The numbers of the chunks that mean most nearly the same, the nearest first."""
        found = self.space()
        if found is None:
            return []
        if (found.model, found.dimension) != (model, len(vector)):
            raise UserError("documents.vectors_mixed", model=model, stored=found.model)
        typed = f"vector({found.dimension})"
        with self._db.transaction("READ ONLY"):
            self._db.run(f"SET LOCAL hnsw.ef_search = {_LOOKED_AT}")
            rows = self._db.run(
                "SELECT document_id FROM embeddings"
                f" ORDER BY CAST(vector AS {typed}) <#> CAST(:asked AS {typed}) LIMIT :most",
                asked=json.dumps([float(x) for x in vector]),
                most=limit,
            )
        return [row[0] for row in rows]

    def all(self) -> Iterator[StoredVector]:
        """Every vector, by the number of its chunk."""
        import numpy as np

        model, dimension = self._kind()
        after = 0
        while model is not None:
            rows = self._db.run(
                "SELECT document_id, CAST(vector AS text) FROM embeddings"
                f" WHERE document_id > :after ORDER BY document_id LIMIT {_BATCH}",
                after=after,
            )
            for number, text in rows:
                yield StoredVector(
                    number, model, dimension or 0, np.asarray(json.loads(text), "<f4").tobytes()
                )
            if len(rows) < _BATCH:
                return
            after = rows[-1][0]

    def _kind(self) -> tuple[str, int] | tuple[None, None]:
        model, dimension = self._db.run("SELECT model, dimension FROM corpus")[0]
        return (None, None) if model is None else (model, dimension)

    def _extend(self) -> None:
        """Have the extension, which an administrator may have to install."""
        from pg8000.exceptions import DatabaseError

        if self._db.value("SELECT 1 FROM pg_extension WHERE extname = 'vector'"):
            return
        try:
            self._db.run("CREATE EXTENSION vector WITH SCHEMA public")
        except (DatabaseError, UserError) as error:
            if isinstance(error, UserError) and error.code != "documents.corpus_no_right":
                raise
            raise UserError("documents.corpus_no_vectors") from error

    def _become(self, model: str, dimension: int) -> None:
        """The vectors are of this kind from now on."""
        values = {"model": model, "dimension": dimension}
        self._db.run("UPDATE corpus SET model = :model, dimension = :dimension", **values)
        self._db.run("DROP INDEX IF EXISTS embeddings_near")
        if dimension <= _LONGEST_INDEXED:
            self._db.run(
                "CREATE INDEX embeddings_near ON embeddings USING hnsw"
                f" (CAST(vector AS vector({dimension})) vector_ip_ops)"
            )
