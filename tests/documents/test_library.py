"""Adding, listing and removing documents: nothing twice, nothing half, nothing lost."""

import json
import shutil
import sqlite3
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai.documents import library, reader
from custom_ai.documents.library import Added
from custom_ai.documents.reader_process import ReaderProcess, Watch
from custom_ai.errors import Stopped, UserError
from custom_ai.projects import database
from custom_ai.projects.project import Project
from custom_ai.step import Event, Step

LONG = "".join(f"Satz {n} über die Wohnung und ihre Miete. " for n in range(400))
Add = Callable[..., Added]


@pytest.fixture
def add(a_project: Project, step: Step, tokenizer_file: Path) -> Add:
    def run(*paths: Path) -> Added:
        return library.add(a_project, paths, step, tokenizer_file, "tiny")

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "Dokumente" / "unter"
    inner.mkdir(parents=True)
    (inner.parent / "b.md").write_text(f"# Wohnung\n\n{LONG}\n\n## Miete\n\n{LONG}")
    (inner / "a.txt").write_text("The flat is rented to the tenant and it is clean.")
    (inner.parent / ".versteckt.txt").write_text("nicht lesen")
    (inner.parent / "~$b.docx").write_text("Word war hier")
    (inner.parent / "bild.png").write_bytes(b"\x89PNG")
    return inner.parent


def rows(project: Project, query: str) -> list[Any]:
    with database.connect(project.database) as db:
        return [tuple(row) for row in db.execute(query).fetchall()]


def test_a_folder_is_added_with_all_it_holds(
    a_project: Project, add: Add, folder: Path, events: list[Event]
) -> None:
    result = add(folder)
    assert (result.added, result.unchanged, result.failed) == (2, 0, [])
    listed = library.list_all(a_project)
    assert [(d.filename, d.language, d.reader, d.pages) for d in listed] == [
        ("b.md", "de", "markdown/2", None),
        ("unter/a.txt", "en", "text/1", None),
    ]
    assert result.chunks == sum(d.chunks for d in listed) > 10
    progress = [e for e in events if e["kind"] == "progress"]
    # A slow machine also says in between how far a file is read.
    assert list(dict.fromkeys((e["done"], e["total"]) for e in progress)) == [
        (0, 2),
        (1, 2),
        (2, 2),
    ]
    assert progress[0]["file"] == "b.md"


def test_every_chunk_says_where_it_comes_from(a_project: Project, add: Add, folder: Path) -> None:
    add(folder / "b.md")
    text = (folder / "b.md").read_text()
    found = rows(a_project, "SELECT chunk_index, chunk_text, metadata FROM documents ORDER BY id")
    assert [index for index, _, _ in found] == list(range(len(found)))
    done = 0
    for _, chunk_text, metadata in found:
        data = json.loads(metadata)
        assert text[data["char_start"] : data["char_end"]] == chunk_text
        assert data["char_start"] <= done
        done = data["char_end"]
        assert 0 < data["n_tokens"] <= 512
        assert (data["page_start"], data["page_end"]) == (None, None)
        assert data["tokenizer"].startswith("tiny@")
        assert data["reader"] == "markdown/2"
        assert len(data["source_sha256"]) == 64
    assert done == len(text)
    first, last = (json.loads(found[n][2])["heading_path"] for n in (0, -1))
    assert (first, last) == (["Wohnung"], ["Wohnung", "Miete"])


def test_pages_of_a_pdf_are_counted_from_one(
    a_project: Project, add: Add, make_pdf: Callable[..., Path]
) -> None:
    lines = [f"Zeile {n} über die Wohnung, ihre Miete und die Frist" for n in range(50)]
    add(make_pdf("a.pdf", [[f"Blatt {page}", *lines] for page in "abc"]))
    spans = [
        (m["page_start"], m["page_end"])
        for (text,) in rows(a_project, "SELECT metadata FROM documents ORDER BY id")
        for m in [json.loads(text)]
    ]
    assert spans[0][0] == 1
    assert spans[-1][1] == 3
    assert all(start <= end for start, end in spans)
    assert library.list_all(a_project)[0].pages == 3


def test_adding_again_changes_nothing(a_project: Project, add: Add, folder: Path) -> None:
    add(folder)
    before = rows(a_project, "SELECT * FROM documents")
    again = add(folder)
    assert (again.added, again.unchanged, again.chunks) == (0, 2, 0)
    assert rows(a_project, "SELECT * FROM documents") == before


def test_a_changed_file_takes_the_place_of_its_older_version(
    a_project: Project, add: Add, folder: Path
) -> None:
    add(folder)
    (folder / "unter" / "a.txt").write_text("Neuer Text über den Garten.")
    assert (again := add(folder)).added == 1
    assert again.unchanged == 1
    assert rows(a_project, "SELECT chunk_text FROM documents WHERE filename = 'unter/a.txt'") == [
        ("Neuer Text über den Garten.",)
    ]
    assert rows(a_project, "SELECT count(*) FROM documents_fts('tenant')") == [(0,)]
    assert rows(a_project, "SELECT count(*) FROM documents_fts('garten')") == [(1,)]


def test_a_changed_file_that_can_not_be_read_keeps_its_older_version(
    a_project: Project, add: Add, folder: Path
) -> None:
    add(folder)
    (folder / "b.md").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert add(folder).failed[0]["error"]["code"] == "documents.not_text"
    assert len(library.list_all(a_project)) == 2


def test_a_copy_is_not_added_twice_and_a_renamed_file_keeps_its_chunks(
    a_project: Project, add: Add, folder: Path
) -> None:
    add(folder)
    before = rows(a_project, "SELECT id, chunk_text FROM documents")
    shutil.copy(folder / "b.md", folder / "copy.md")
    assert add(folder).unchanged == 3
    assert [d.filename for d in library.list_all(a_project)] == ["b.md", "unter/a.txt"]
    (folder / "b.md").unlink()
    assert add(folder).unchanged == 2
    assert [d.filename for d in library.list_all(a_project)] == ["copy.md", "unter/a.txt"]
    assert rows(a_project, "SELECT id, chunk_text FROM documents") == before
    assert rows(a_project, "SELECT DISTINCT filename FROM documents ORDER BY 1") == [
        ("copy.md",),
        ("unter/a.txt",),
    ]


def test_two_files_that_swap_their_names_both_stay(
    a_project: Project, add: Add, tmp_path: Path
) -> None:
    one, two = tmp_path / "1.txt", tmp_path / "2.txt"
    one.write_text("Text über Äpfel")
    two.write_text("Text über Birnen")
    add(one, two)
    one.write_text("Text über Birnen")
    two.write_text("Text über Äpfel")
    add(one, two)
    add(one, two)
    found = rows(a_project, "SELECT filename, chunk_text FROM documents ORDER BY filename")
    assert found == [("1.txt", "Text über Birnen"), ("2.txt", "Text über Äpfel")]


def test_a_file_that_becomes_a_copy_of_another_leaves_nothing_of_its_own(
    a_project: Project, add: Add, tmp_path: Path
) -> None:
    one, two = tmp_path / "1.txt", tmp_path / "2.txt"
    one.write_text("Text über Äpfel")
    two.write_text("Text über Birnen")
    add(one, two)
    two.write_text("Text über Äpfel")
    assert add(one, two).unchanged == 2
    assert rows(a_project, "SELECT chunk_text FROM documents") == [("Text über Äpfel",)]


def test_another_chunk_size_or_tokenizer_cuts_the_files_again(
    a_project: Project,
    add: Add,
    folder: Path,
    step: Step,
    tokenizer_files: dict[str, Path],
) -> None:
    few = add(folder).chunks
    a_project.change(chunk_tokens=128, chunk_overlap=16)
    again = add(folder)
    assert (again.added, again.unchanged) == (2, 0)
    assert again.chunks > 2 * few
    assert library.add(a_project, [folder], step, tokenizer_files["wordpiece"], "wp").added == 2
    found = rows(a_project, "SELECT DISTINCT json_extract(metadata, '$.tokenizer') FROM documents")
    assert len(found) == 1
    assert found[0][0].startswith("wp@")


def test_one_bad_file_costs_the_others_nothing(
    a_project: Project, add: Add, folder: Path, events: list[Event]
) -> None:
    (folder / "c.pdf").write_text("kein PDF")
    result = add(folder, folder / "bild.png", folder / "fort.txt")
    assert result.added == 2
    codes = {Path(f["file"]).name: f["error"]["code"] for f in result.failed}
    assert codes == {
        "c.pdf": "documents.text_inside",
        "bild.png": "documents.unsupported",
        "fort.txt": "documents.missing",
    }
    assert all(f["error"]["message"] and f["error"]["hint"] for f in result.failed)
    assert [e["values"]["file"] for e in events if e["kind"] == "warning"] == ["bild.png", "c.pdf"]
    assert json.loads(json.dumps(result.as_json()))["added"] == 2


def test_a_single_bad_file_is_a_result_too(add: Add, tmp_path: Path) -> None:
    result = add(tmp_path / "fort.pdf")
    assert (result.added, len(result.failed)) == (0, 1)


@pytest.mark.parametrize(
    ("names", "code"), [([], "empty_folder"), (["bild.png"], "nothing_readable")]
)
def test_a_folder_without_documents_is_a_failure(
    add: Add, tmp_path: Path, names: list[str], code: str
) -> None:
    (tmp_path / "leer").mkdir()
    for name in names:
        (tmp_path / "leer" / name).write_text("x")
    (failure,) = add(tmp_path / "leer").failed
    assert failure["error"]["code"] == f"documents.{code}"


def test_a_file_named_twice_is_read_once(add: Add, folder: Path) -> None:
    result = add(folder, folder / "b.md", folder / "unter")
    assert (result.added, result.unchanged) == (2, 0)


def test_a_name_in_decomposed_letters_is_shown_composed(
    a_project: Project, add: Add, tmp_path: Path
) -> None:
    path = tmp_path / unicodedata.normalize("NFD", "Größe.txt")
    path.write_text("Text über Größen")
    add(path)
    assert library.list_all(a_project)[0].filename == "Größe.txt"
    assert add(path).unchanged == 1


def test_a_name_that_is_no_utf8_is_no_trouble(a_project: Project, add: Add, tmp_path: Path) -> None:
    path = Path(str(tmp_path).encode().decode() + "/k\udcf6nig.txt")
    path.write_text("Text über Könige")
    assert add(path).added == 1
    assert library.list_all(a_project)[0].filename == "k\\xf6nig.txt"


def test_a_wish_to_stop_ends_between_two_files(
    a_project: Project, folder: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    step = Step(tmp_path, events.append, lambda: "pause" if events else None)
    with pytest.raises(Stopped):
        library.add(a_project, [folder], step, tokenizer_file, "tiny")
    assert [d.filename for d in library.list_all(a_project)] == ["b.md"]


def test_sizes_that_do_not_fit_are_refused_before_anything_is_read(
    a_project: Project, add: Add, folder: Path
) -> None:
    a_project.change(chunk_tokens=64, chunk_overlap=60)
    with pytest.raises(UserError) as caught:
        add(folder)
    assert caught.value.code == "documents.overlap_too_big"


def test_a_document_is_removed_by_name_path_or_number(
    a_project: Project, add: Add, folder: Path
) -> None:
    add(folder)
    assert library.remove(a_project, "unter/a.txt").filename == "unter/a.txt"
    assert rows(a_project, "SELECT count(*) FROM documents_fts('tenant')") == [(0,)]
    number = library.list_all(a_project)[0].id
    library.remove(a_project, number)
    assert rows(a_project, "SELECT count(*) FROM documents") == [(0,)]
    add(folder)
    library.remove(a_project, str(folder / "b.md"))
    assert len(library.list_all(a_project)) == 1


def test_an_unknown_or_ambiguous_document_is_not_removed(
    a_project: Project, add: Add, tmp_path: Path
) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(f"Text von {name}")
    add(tmp_path / "x", tmp_path / "y")
    with pytest.raises(UserError) as caught:
        library.remove(a_project, "a.txt")
    assert caught.value.code == "documents.ambiguous"
    with pytest.raises(UserError) as caught:
        library.remove(a_project, "b.txt")
    assert caught.value.code == "documents.unknown"
    assert len(library.list_all(a_project)) == 2


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    a_project: Project, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Text über die Wohnung")
    read = ReaderProcess.read

    def slowly(process: ReaderProcess, wanted: Path, watch: Watch | None = None) -> reader.Parsed:
        parsed = read(process, wanted, watch)
        wanted.write_text("Inzwischen ein anderer Text")
        return parsed

    monkeypatch.setattr(ReaderProcess, "read", slowly)
    assert add(path).failed[0]["error"]["code"] == "documents.changed_while_reading"
    assert library.list_all(a_project) == []


def test_the_full_text_index_stays_in_step(a_project: Project, add: Add, folder: Path) -> None:
    add(folder)
    (folder / "b.md").write_text("# Neu\n\nNur noch wenig.")
    add(folder)
    library.remove(a_project, "unter/a.txt")
    with sqlite3.connect(a_project.database) as db:
        db.execute("INSERT INTO documents_fts (documents_fts, rank) VALUES ('integrity-check', 1)")
    db.close()
