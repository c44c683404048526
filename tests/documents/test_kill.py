"""Killed at any moment and called again, adding documents ends as if nothing had happened."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from custom_ai.documents import library
from custom_ai.projects.project import Project
from custom_ai.step import Step

LONG = "".join(f"Satz {n} über die Wohnung und ihre Miete. " for n in range(36))
OTHER = "".join(f"Punkt {n} über den Garten und seine Pflege. " for n in range(24))
SCRIPT = Path(__file__).with_name("killed_add.py")


def content(database: Path) -> dict[str, list[Any]]:
    """All a database holds, without numbers and times; checks that it is sound."""
    with sqlite3.connect(database) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        db.execute("INSERT INTO documents_fts (documents_fts, rank) VALUES ('integrity-check', 1)")
        found = {
            "sources": db.execute(
                "SELECT sha256, path, filename, bytes, media_type, n_pages, n_chunks, language,"
                " reader, chunking, text FROM sources ORDER BY path"
            ).fetchall(),
            "documents": db.execute(
                "SELECT d.filename, chunk_index, chunk_text, metadata, s.sha256 FROM documents d"
                " JOIN sources s ON s.id = source_id ORDER BY d.filename, chunk_index"
            ).fetchall(),
            "found": db.execute(
                "SELECT chunk_text FROM documents_fts('wohnung') ORDER BY chunk_text"
            ).fetchall(),
        }
    db.close()
    return found


@pytest.mark.parametrize(("beginning", "limit"), [("empty", 45), ("older versions", 80)])
def test_a_killed_run_that_is_repeated_ends_like_an_undisturbed_one(
    a_project: Project,
    step: Step,
    tokenizer_file: Path,
    tmp_path: Path,
    beginning: str,
    limit: int,
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "b.txt").write_text("Die Wohnung bleibt, wie sie ist.")
    if beginning == "older versions":
        (folder / "a.md").write_text(f"# Alt\n\n{OTHER}")
        library.add(a_project, [folder], step, tokenizer_file, "tiny")
        (folder / "a.md").write_text(f"# Wohnung\n\n{LONG}\n\n## Garten\n\n{OTHER}")
        (folder / "c.txt").write_text("Ein neuer Text über die Wohnung.")
    out = tmp_path / "out"
    out.mkdir()
    arguments = [a_project.folder, folder, tokenizer_file, out, limit]
    ran = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    kinds = json.loads(ran.stdout)
    assert kinds["statement"] > 20
    assert kinds["steps"] + kinds["call"] > 20

    undisturbed = content(out / "whole" / "data" / "project.db")
    assert len(undisturbed["sources"]) == len(os.listdir(folder))
    moments = [path for path in out.iterdir() if path.name.isdecimal()]
    assert len(moments) >= kinds["statement"]
    for moment in moments:
        assert content(moment / "data" / "project.db") == undisturbed, moment.name
    shutil.rmtree(out)
