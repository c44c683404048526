"""Files people put into a project lie inside it, under safe names, whole or not at all."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custom_ai.documents import library, originals
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.step import Step
from tests.projects.faults import at_every_write

# What each would do if it were followed: leave the folder, or be no plain file on some system.
DANGEROUS = [
    "..", "../", "../evil", "../../evil", "../../../../../../etc/passwd", "a/../../evil",
    "a/b/../../../evil", "a/..", "a/../b", "./../evil", ".", "./evil", "a/./evil", "/", "//",
    "/evil", "/etc/passwd", "//host/share/evil", "///evil", "~/../evil/../..", "a//evil", "a/",
    "/a", "", " ", "   ", "...", "....", ". .", ".. ", " ..", " ../evil", ".. /evil", "../ evil",
    "....//....//evil", "..../evil", ".../evil", "..\\evil", "..\\..\\evil", "a\\..\\..\\evil",
    "\\evil", "\\\\host\\share\\evil", "\\\\?\\C:\\evil", "\\\\.\\PhysicalDrive0", "C:\\evil",
    "C:/evil", "C:evil", "c:", "D:../evil", "..\\/evil", "../\\evil", "a/..\\evil", "\x00",
    "evil\x00", "evil\x00.pdf", "../evil\x00.pdf", "ev\nil", "ev\ril", "ev\x1bil", "ev\x7fil",
    "ev\x85il", "ev\u2028il", "ev\u2029il", "\ud800evil", ".evil", ".ssh/evil", "a/.evil",
    ".bashrc", "x" * 201, "ä" * 101, "a/" * 16 + "evil", "a/" * 200 + "evil", "../" * 100 + "evil",
    "evil/..", "evil/.", "..;/evil", "../evil.pdf/", "a/../evil.pdf", "..//evil", ".//evil",
]  # fmt: skip

# They only look like it: plain, if odd, names of files.
HARMLESS = {
    "%2e%2e%2fevil": "%2e%2e%2fevil",
    "..%2fevil".removeprefix(".."): "%2fevil",
    "a..b.pdf": "a..b.pdf",
    "a／..／evil": "a／..／evil",
    "~/evil": "~/evil",
    "$(evil)`evil`;evil|evil": "$(evil)`evil`;evil｜evil",
    "<script>alert(1)<／script>.pdf": "＜script＞alert(1)＜／script＞.pdf",
    "Was ist das?.pdf": "Was ist das？.pdf",
    'Er sagte: "Nein" *.txt': "Er sagte： ＂Nein＂ ＊.txt",
    "a.pdf::$DATA": "a.pdf：：$DATA",
    "con": "_con",
    "NUL.txt": "_NUL.txt",
    "aux .pdf": "_aux .pdf",
    "a/COM1/b.txt": "a/_COM1/b.txt",
    "ende.pdf. ": "ende.pdf",
    "Ordner /a.txt": "Ordner/a.txt",
    "U\u0308ber.pdf": "Über.pdf",
    "Ordner/unter/Datei.pdf": "Ordner/unter/Datei.pdf",
}


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_no_dangerous_name_does_anything(a_project: Project, tmp_path: Path) -> None:
    assert len(set(DANGEROUS)) >= 60
    before = everything(tmp_path)
    for name in DANGEROUS:
        with pytest.raises(UserError) as caught:
            originals.keep(a_project, name, [b"evil"])
        assert caught.value.code == "documents.bad_file_name", name
        assert caught.value.hint
    assert everything(tmp_path) == before
    assert not list(a_project.folder.rglob("*evil*"))


@pytest.mark.parametrize("name", HARMLESS)
def test_an_odd_name_becomes_one_that_every_system_can_have(name: str, a_project: Project) -> None:
    path = originals.keep(a_project, name, [b"text"])
    assert path.relative_to(a_project.originals).as_posix() == HARMLESS[name]
    assert path.read_bytes() == b"text"
    assert [p for p in a_project.originals.rglob("*") if p.is_file()] == [path]


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(st.sampled_from('ab./\\: ?"\x00\u0308é~-NULcon1'), max_size=14))
def test_no_name_leads_out_of_the_originals(a_project: Project, name: str) -> None:
    try:
        path = originals.keep(a_project, name, [b""])
    except UserError:
        return
    assert path.resolve().is_relative_to(a_project.originals.resolve())
    assert not set(path.relative_to(a_project.originals).as_posix()) & set('\\<>:"|?*\x00')
    assert originals.located(a_project, originals.stored(a_project, path)) == path


def test_a_file_takes_the_place_of_an_older_one_of_its_name(a_project: Project) -> None:
    first = originals.keep(a_project, "a.txt", io.BytesIO(b"old" * 1000))
    second = originals.keep(a_project, "a.txt", iter([b"ne", b"w"]))
    assert first == second and second.read_bytes() == b"new"
    assert os.listdir(a_project.originals) == ["a.txt"]


def test_an_upload_that_breaks_off_leaves_the_older_file(a_project: Project) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    path = originals.keep(a_project, "a.txt", [b"old"])
    with pytest.raises(ConnectionResetError):
        originals.keep(a_project, "a.txt", broken())
    assert path.read_bytes() == b"old"
    assert os.listdir(a_project.originals) == ["a.txt"]


def test_a_file_too_big_to_read_is_refused_while_it_comes(
    a_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(originals, "MAX_BYTES", 3_000_000)
    given = 0

    def endless() -> Iterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield bytes(1_000_000)

    with pytest.raises(UserError) as caught:
        originals.keep(a_project, "a.txt", endless())
    assert caught.value.code == "documents.too_big" and given == 4
    assert os.listdir(a_project.originals) == []


def test_a_file_where_a_folder_is_wanted_is_named(a_project: Project) -> None:
    originals.keep(a_project, "a", [b"1"])
    originals.keep(a_project, "b/c", [b"2"])
    for name in ("a/b", "b"):
        with pytest.raises(UserError) as caught:
            originals.keep(a_project, name, [b"3"])
        assert caught.value.code == "documents.name_taken"
    assert {p for p in everything(a_project.originals) if "tmp" in p} == set()


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs rights there")
def test_a_link_among_the_originals_is_not_followed(a_project: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "own.txt").write_text("mine")
    a_project.originals.mkdir(parents=True)
    (a_project.originals / "far").symlink_to(outside, target_is_directory=True)
    (a_project.originals / "own.txt").symlink_to(outside / "own.txt")
    for name in ("far/own.txt", "far/new.txt", "own.txt"):
        with pytest.raises(UserError):
            originals.keep(a_project, name, [b"evil"])
    assert everything(outside) == {"own.txt"} and (outside / "own.txt").read_text() == "mine"
    assert not originals.discard(a_project, a_project.originals / "far" / "own.txt")
    assert (outside / "own.txt").exists()


def test_a_removed_document_takes_its_original_and_empty_folders_along(
    a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    inside = originals.keep(a_project, "a/b/c.txt", [b"The bell rings at noon."])
    other = originals.keep(a_project, "a/d.txt", [b"The lamp burns at night."])
    outside = tmp_path / "e.txt"
    outside.write_text("The clock is on the wall.")
    library.add(a_project, [a_project.originals, outside], step, tokenizer_file, "tiny")
    names = [d.filename for d in library.list_all(a_project)]
    assert names == ["a/b/c.txt", "a/d.txt", "e.txt"]
    library.remove(a_project, "a/b/c.txt")
    library.remove(a_project, "e.txt")
    assert not inside.exists() and not inside.parent.exists()
    assert other.exists() and outside.exists()
    library.remove(a_project, str(other))
    assert library.list_all(a_project) == []
    assert os.listdir(a_project.originals) == []


def test_an_original_that_cannot_be_deleted_keeps_its_document(
    a_project: Project, step: Step, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = originals.keep(a_project, "a.txt", [b"The bell rings at noon."])
    library.add(a_project, [path], step, tokenizer_file, "tiny")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(PermissionError):
            library.remove(a_project, "a.txt")
    assert len(library.list_all(a_project)) == 1


def test_a_removal_cut_short_can_be_done_again(
    a_project: Project, step: Step, tokenizer_file: Path
) -> None:
    struck = 0

    def prepared() -> None:
        path = originals.keep(a_project, "a/b.txt", [b"The bell rings at noon."])
        library.add(a_project, [path], step, tokenizer_file, "tiny")

    prepared()
    for _ in at_every_write(lambda: library.remove(a_project, "a/b.txt"), "kill"):
        struck += 1
        # Never the other way round: a file without its document would come back with the next run.
        assert len(library.list_all(a_project)) == 1
        library.remove(a_project, "a/b.txt")
        assert not (a_project.originals / "a" / "b.txt").exists()
        prepared()
    # At least before the file goes, and between the file and the end of the transaction.
    assert struck >= 2
    assert library.list_all(a_project) == []


@pytest.mark.parametrize("fault", ["kill", "full"])
def test_a_kept_file_is_the_old_or_the_new_one_after_a_fault_at_any_write(
    a_project: Project, fault: str
) -> None:
    path = originals.keep(a_project, "a.txt", [b"old"])
    struck = 0
    for _ in at_every_write(lambda: originals.keep(a_project, "a.txt", [b"new"] * 3), fault):
        struck += 1
        assert path.read_bytes() in (b"old", b"new" * 3)
        originals.keep(a_project, "a.txt", [b"old"])
        assert os.listdir(a_project.originals) == ["a.txt"]
    assert struck > 2
