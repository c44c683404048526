"""The portable file: the promised table, nothing private, complete or not there."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from custom_ai.documents import exporter, library
from custom_ai.documents.contents import ChunkRow, Contents
from custom_ai.documents.exporter import export
from custom_ai.errors import UserError, from_exception
from custom_ai.projects.project import Project


def query(path: Path, statement: str) -> list[Any]:
    with sqlite3.connect(path) as db:
        found = db.execute(statement).fetchall()
    db.close()
    return found


def test_the_table_has_the_promised_columns_and_all_chunks(filled: Project) -> None:
    path = export(filled)
    assert path == filled.rag_export
    columns = [name for _, name, *_ in query(path, "PRAGMA table_info(documents)")]
    assert columns == ["id", "filename", "chunk_index", "chunk_text", "metadata", "created_at"]
    mine = query(filled.database, f"SELECT {', '.join(columns)} FROM documents ORDER BY id")
    assert query(path, "SELECT * FROM documents ORDER BY id") == mine
    assert json.loads(mine[-1][4])["heading_path"] == ["Haus", "Hof"]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "PRAGMA journal_mode") == [("delete",)]


def test_a_plain_python_reads_searches_and_vacuums_it(filled: Project) -> None:
    path = export(filled)
    code = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        "print(db.execute(\"SELECT d.filename FROM documents_fts('garten') f"
        ' JOIN documents d ON d.id = f.rowid").fetchall());'
        "db.execute('VACUUM'); db.close()"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[('b.md',)]"
    assert sorted(p.name for p in path.parent.iterdir()) == ["project.db", "rag_export.db"]


def test_what_people_read_is_there_without_json(filled: Project) -> None:
    path = export(filled)
    columns = [name for _, name, *_ in query(path, "PRAGMA table_info(chunks_flat)")]
    assert columns == ["filename", "page", "heading", "text"]
    last = query(path, "SELECT * FROM chunks_flat")[-1]
    assert last[:3] == ("b.md", None, "Haus › Hof")
    assert last[3].endswith("Am Zaun steht ein Baum. ")
    texts = dict(query(path, "SELECT language, text FROM readme"))
    assert texts.keys() == {"de", "en"}
    # The query it names works as it stands.
    statement = texts["de"].split("Volltextsuche: ")[1].split(". Tabelle")[0]
    assert [row[1] for row in query(path, statement.replace("wort", "garten"))] == ["b.md"]


def test_sources_and_meta_say_what_made_it(filled: Project) -> None:
    path = export(filled)
    assert query(path, "SELECT filename, language, n_chunks > 0 FROM sources ORDER BY 1") == [
        ("a.txt", "de", 1),
        ("b.md", "de", 1),
    ]
    meta = dict(query(path, "SELECT key, value FROM meta"))
    assert meta["made_by"].startswith("custom-ai ")
    assert meta["project"] == "test"
    assert int(meta["chunks"]) == query(path, "SELECT count(*) FROM documents")[0][0]


def test_no_path_and_nothing_removed_travels_along(filled: Project) -> None:
    data = export(filled).read_bytes()
    assert b"Garten" in data
    assert b"geheimer-ordner" not in data
    assert b"Geheimnis" not in data


def test_a_new_export_takes_the_place_of_the_older_one(filled: Project) -> None:
    export(filled)
    library.remove(filled, "b.md")
    path = export(filled)
    assert query(path, "SELECT DISTINCT filename FROM documents") == [("a.txt",)]


def test_the_target_may_be_a_file_in_a_new_folder_or_a_folder(
    filled: Project, tmp_path: Path
) -> None:
    assert export(filled, tmp_path / "neu" / "x.db") == tmp_path / "neu" / "x.db"
    assert export(filled, tmp_path / "neu") == tmp_path / "neu" / "rag_export.db"
    assert sorted(os.listdir(tmp_path / "neu")) == ["rag_export.db", "x.db"]


def test_the_projects_own_database_is_no_target(filled: Project) -> None:
    with pytest.raises(UserError) as caught:
        export(filled, filled.database)
    assert caught.value.code == "documents.export_onto_itself"
    assert len(library.list_all(filled)) == 2


def test_an_empty_project_leaves_no_file(a_project: Project, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        export(a_project, tmp_path / "out" / "x.db")
    assert caught.value.code == "documents.nothing_to_export"
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("limit", [4096, 50_000, 90_000])
def test_when_there_is_no_room_nothing_is_left_and_the_older_file_stays(
    filled: Project, tmp_path: Path, limit: int
) -> None:
    target = tmp_path / "out" / "x.db"
    before = export(filled, target).read_bytes()
    assert len(before) > 90_000
    # A file that must not grow further fails like a disk that is full.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises((UserError, sqlite3.Error)) as caught:
            export(filled, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert from_exception(caught.value) is not None
    assert os.listdir(target.parent) == ["x.db"]
    assert target.read_bytes() == before


# --- vectors


def test_vectors_travel_along_where_the_project_has_them(with_vectors: Project) -> None:
    path = export(with_vectors)
    columns = "document_id, model, dimension, vector"
    mine = query(with_vectors.database, f"SELECT {columns} FROM embeddings ORDER BY 1")
    assert query(path, f"SELECT {columns} FROM embeddings ORDER BY 1") == mine
    assert ("embedding_models", "bag-of-words") in query(path, "SELECT * FROM meta")
    # No table that needs an extension: the file must open everywhere.
    assert "vec0" not in "".join(
        row[0] or "" for row in query(path, "SELECT sql FROM sqlite_master")
    )


def test_without_vectors_the_sqlite_file_has_no_table_for_them(filled: Project) -> None:
    names = {row[0] for row in query(export(filled), "SELECT name FROM sqlite_master")}
    assert "documents" in names and "embeddings" not in names


def test_langchain_without_vectors_is_refused_and_leaves_no_file(filled: Project) -> None:
    with pytest.raises(UserError) as caught:
        export(filled, name="langchain")
    assert caught.value.code == "documents.no_embeddings"
    assert os.listdir(filled.rag_export.parent) == ["project.db"]


def test_langchain_needs_a_vector_for_every_chunk(with_vectors: Project) -> None:
    with closing(sqlite3.connect(with_vectors.database)) as db, db:
        db.execute("DELETE FROM embeddings WHERE document_id = (SELECT max(id) FROM documents)")
    with pytest.raises(UserError) as caught:
        export(with_vectors, name="langchain")
    assert caught.value.code == "documents.embeddings_missing"
    assert caught.value.values["missing"] == "1"


def test_a_format_whose_packages_are_missing_says_which(
    with_vectors: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_ai.documents.exporters.langchain.find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        export(with_vectors, name="langchain")
    assert caught.value.code == "documents.exporter_unavailable"
    assert "pip install apsw sqlite-vec" in caught.value.hint


# --- every format


@pytest.mark.parametrize("name", exporter.names())
def test_each_format_is_complete_and_tells_nothing_of_this_computer(
    with_vectors: Project, name: str, tmp_path: Path
) -> None:
    path = export(with_vectors, name=name)
    assert path == exporter.place(with_vectors, name)
    data = path.read_bytes()
    assert b"Garten" in data
    for private in (b"geheimer-ordner", b"Geheimnis", bytes(tmp_path), b"/home"):
        assert private not in data
    assert sorted(os.listdir(path.parent)) == sorted(["project.db", path.name])


@pytest.mark.parametrize("name", exporter.names())
def test_each_format_keeps_the_older_file_when_it_fails(
    with_vectors: Project, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(with_vectors, name=name)
    before = path.read_bytes()

    def broken(contents: Contents) -> Iterator[ChunkRow]:
        rows = chunks(contents)
        yield next(rows)
        raise OSError(5, "the disk is gone")

    chunks = Contents.chunks
    monkeypatch.setattr(Contents, "chunks", broken)
    with pytest.raises(OSError):
        export(with_vectors, name=name)
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == sorted(["project.db", path.name])


def test_what_a_killed_export_left_is_removed_by_the_next_one(filled: Project) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = filled.rag_export.with_name(f".custom-ai-export-{ended.pid}")
    left.mkdir()
    (left / "rag_export.db.building").write_bytes(b"half")
    export(filled)
    assert not left.exists()


def test_an_unknown_format_is_refused_with_the_known_ones(filled: Project) -> None:
    with pytest.raises(UserError) as caught:
        export(filled, name="../sqlite")
    assert caught.value.code == "documents.unknown_format"
    assert "jsonl" in caught.value.hint
