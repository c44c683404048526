"""The portable file: the promised table, nothing private, complete or not there."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from custom_ai.documents import library
from custom_ai.documents.export import export
from custom_ai.errors import UserError, from_exception
from custom_ai.projects.project import Project
from custom_ai.step import Step


@pytest.fixture
def filled(a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path) -> Project:
    folder = tmp_path / "geheimer-ordner"
    folder.mkdir()
    text = "".join(f"Satz {n} über die Wohnung und ihre Miete. " for n in range(800))
    (folder / "a.txt").write_text(text)
    (folder / "b.md").write_text("# Haus\n\nEin Garten.")
    (folder / "c.txt").write_text("Ein Geheimnis, das wieder entfernt wird.")
    assert library.add(a_project, [folder], step, tokenizer_file, "tiny").added == 3
    library.remove(a_project, "c.txt")
    return a_project


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
    assert json.loads(mine[-1][4])["heading_path"] == ["Haus"]
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


def test_sources_and_meta_say_what_made_it(filled: Project) -> None:
    path = export(filled)
    assert query(path, "SELECT filename, language, n_chunks > 0 FROM sources ORDER BY 1") == [
        ("a.txt", "de", 1),
        ("b.md", "", 1),
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
