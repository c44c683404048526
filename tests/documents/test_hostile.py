"""Whatever a file holds, it ends in its named error or in text, and hurts nobody else.

More than two hundred damaged and hostile files go through one real adding of a folder. The limits
are smaller than the real ones, so that bombs are cut early.
"""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from custom_ai.documents import library, reader
from custom_ai.documents.reader_process import Limits
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.step import Step
from custom_ai.texts import known, use_language
from tests.documents import hostile, hostile_books
from tests.documents.test_real_documents import needed

SCRIPT = Path(__file__).with_name("add_hostile.py")
MAINT_GUIDE = Path("/usr/share/doc/maint-guide/maint-guide.en.pdf")
LIMITS = Limits(memory=400_000_000, page_seconds=3.0, seconds=6.0)
LONGEST_TEXT = 10_000_000
MOST_GROWTH = 50_000_000

# What may become of a file, and the errors that say so.
KINDS = {
    "password": {"password"},
    "corrupt": {"corrupt", "broke_reader"},
    "empty": {"empty"},
    "scanned": {"scanned", "nothing_recognised"},
    "too big": {"too_big", "unpacks_too_big", "too_much_memory", "too_much_text"},
    "unsupported": {"unsupported", "text_inside", "other_inside", "not_text", "binary"},
    "timeout": {"timeout"},
}
KIND_OF = {f"documents.{code}": kind for kind, codes in KINDS.items() for code in codes}


def add_all(project: Project, folder: Path, tokenizer: Path) -> dict[str, Any]:
    """What add_hostile.py says of a folder."""
    arguments = [project.folder, folder, tokenizer, json.dumps(asdict(LIMITS))]
    ran = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def stored_texts(project: Project) -> dict[str, str]:
    with sqlite3.connect(project.database) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = db.execute("SELECT filename, text FROM sources").fetchall()
    db.close()
    return dict(rows)


def check_ends(found: dict[str, Any], texts: dict[str, str], count: int) -> None:
    """Every file came to a good end, and the process that asked for it is what it was."""
    assert found["added"] + found["unchanged"] + len(found["failed"]) == count
    for name, (code, values) in found["failed"].items():
        assert code in KIND_OF, (name, code, values)
        for language in ("de", "en"):
            use_language(language)
            error = UserError(code, **values)
            assert known(code) and error.message and error.hint, code
            assert "{" not in error.message + error.hint, (name, error.message)
    for name, text in texts.items():
        assert len(text) <= LONGEST_TEXT, name
        assert "root:x:" not in text, name
    assert found["grown"] < MOST_GROWTH
    assert found["children"] == []


def test_two_hundred_hostile_files_end_in_their_errors_or_in_text(
    a_project: Project, tokenizer_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    expected = {}
    for name, content, kinds in [*hostile.everything(), *hostile_books.books()]:
        (folder / name).write_bytes(content)
        expected[name] = kinds
    supported = [name for name in expected if Path(name).suffix in reader.by_suffix()]
    assert len(supported) >= 200
    found = add_all(a_project, folder, tokenizer_file)
    texts = stored_texts(a_project)
    check_ends(found, texts, len(supported))
    wrong = {}
    for name in supported:
        code = found["failed"].get(name, [""])[0]
        kind = KIND_OF[code] if code else "text"
        if expected[name] is not None and kind not in (expected[name] or ()):
            wrong[name] = (kind, expected[name])
    assert wrong == {}
    # Those that are text hold what a person would read.
    assert "Ein Satz steht hier im Text" in texts["plain.pdf"]
    assert "Größe, Übermut, Straße" in texts["utf-16-le.txt"]
    assert texts["combining.txt"].count("\u0301") == 60_000


def test_mutated_real_documents_end_in_their_errors_or_in_text(
    a_project: Project, tokenizer_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mutated"
    folder.mkdir()
    files = list(hostile.mutated("pdf", needed(MAINT_GUIDE).read_bytes(), 1))
    for name, content, _ in files:
        (folder / name).write_bytes(content)
    found = add_all(a_project, folder, tokenizer_file)
    texts = stored_texts(a_project)
    check_ends(found, texts, len(files))
    # A few wrong bits cost a few words, not the document.
    assert sum(len(text) > 100_000 for text in texts.values()) > len(files) / 2


def test_odd_places_are_named_and_cost_the_others_nothing(
    a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "good.txt").write_text("Ein guter Satz.")
    (folder / "round").symlink_to(folder)
    (folder / "itself.txt").symlink_to(folder / "itself.txt")
    (folder / "nowhere.txt").symlink_to(folder / "gone.txt")
    (folder / "folder.pdf").mkdir()
    os.mkfifo(folder / "pipe.txt")
    odd = [
        b"b\xff\xfe\xfa.txt",
        b"zwei\nZeilen.txt",
        b"-rf.txt",
        "🙈 ".encode() * 20 + b".txt",
    ]
    for number, name in enumerate(odd):
        with open(os.path.join(os.fsencode(folder), name), "w") as stream:
            stream.write(f"Auch Satz {number} ist zu lesen.")
    unreadable = folder / "locked.txt"
    unreadable.write_text("Ein Satz, den niemand lesen darf.")
    unreadable.chmod(0)
    devices = [folder / "pipe.txt", Path("/dev/zero"), folder / "itself.txt", folder / "gone.txt"]
    result = library.add(a_project, [folder, *devices], step, tokenizer_file, "tiny", LIMITS)
    codes = {failed["file"]: failed["error"]["code"] for failed in result.failed}
    assert codes[str(folder / "pipe.txt")] == codes["/dev/zero"] == "documents.no_file"
    missing = {codes[str(folder / name)] for name in ("itself.txt", "gone.txt")}
    assert missing == {"documents.missing"}
    if os.geteuid():
        assert codes[str(unreadable)] == "errors.no_permission"
    assert result.added >= 1 + len(odd)
    json.dumps(result.as_json()).encode()


def test_a_folder_that_nobody_may_open_is_named(
    a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    if not os.geteuid():
        pytest.skip("root may open every folder")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    result = library.add(a_project, [folder], step, tokenizer_file, "tiny", LIMITS)
    assert [f["error"]["code"] for f in result.failed] == ["errors.no_permission"]
