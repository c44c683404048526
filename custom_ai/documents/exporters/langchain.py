"""The tables of LangChain's vector store SQLiteVec, filled with the project's own vectors."""

import json
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from custom_ai.documents.contents import Contents
from custom_ai.documents.exporter import count_rows, origin
from custom_ai.errors import UserError

if TYPE_CHECKING:
    import apsw

TABLE = "langchain"

# The names and columns are LangChain's; its vector table belongs to the extension sqlite-vec.
_SCHEMA = f"""
    CREATE TABLE {TABLE} (
        rowid INTEGER PRIMARY KEY AUTOINCREMENT,
        text TEXT,
        metadata BLOB,
        text_embedding BLOB
    );
    CREATE VIRTUAL TABLE {TABLE}_vec USING vec0(
        rowid INTEGER PRIMARY KEY,
        text_embedding float[{{dim}}]
    );
    CREATE TRIGGER {TABLE}_embed_text AFTER INSERT ON {TABLE} BEGIN
        INSERT INTO {TABLE}_vec (rowid, text_embedding) VALUES (new.rowid, new.text_embedding);
    END;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class LangchainExporter:
    """Needs vectors for every chunk, and two packages, since not every Python's own sqlite3 may
    load an extension."""

    filename = "rag_langchain.db"
    media_type = "application/vnd.sqlite3"

    def unavailable(self) -> str | None:
        """None, or the packages to install."""
        wanted = {"apsw": "apsw", "sqlite_vec": "sqlite-vec"}
        return " ".join(name for module, name in wanted.items() if not find_spec(module)) or None

    def write(self, documents: Contents, path: Path) -> None:
        """Write the file; raises UserError when not every chunk has a vector of one model."""
        model = _model(documents)
        rows = _rows(documents, model)
        first = next(rows)
        dim = len(first[3]) // 4
        with closing(_connect(path)) as db:
            db.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            with db:
                db.execute(_SCHEMA.format(dim=dim))
                about = {**origin(documents), "embedding_model": model, "dim": str(dim)}
                db.executemany("INSERT INTO meta VALUES (?, ?)", about.items())
                insert = f"INSERT INTO {TABLE} VALUES (?, ?, ?, ?)"
                db.execute(insert, first)
                db.executemany(insert, rows)

    def count(self, path: Path) -> int:
        """How many chunks a file holds."""
        return count_rows(path, TABLE)


def _model(documents: Contents) -> str:
    """The model whose vectors every chunk has."""
    counts = documents.embedding_models()
    if not counts:
        raise UserError("documents.no_embeddings", name=documents.name)
    model, most = max(counts.items(), key=lambda item: item[1])
    if most < documents.chunk_count:
        missing = documents.chunk_count - most
        raise UserError("documents.embeddings_missing", missing=missing, model=model)
    return model


def _rows(documents: Contents, model: str) -> Iterator[tuple[int, str, str, bytes]]:
    vectors = (row for row in documents.embeddings() if row.model == model)
    for chunk, vector in zip(documents.chunks(), vectors, strict=True):
        metadata = json.dumps(chunk.flat_metadata(), ensure_ascii=False)
        yield chunk.id, chunk.chunk_text, metadata, vector.vector


def _connect(path: Path) -> "apsw.Connection":
    import apsw
    import sqlite_vec

    db = apsw.Connection(str(path))
    db.enable_load_extension(True)
    db.load_extension(sqlite_vec.loadable_path())
    db.enable_load_extension(False)
    return db


exporter = LangchainExporter()
