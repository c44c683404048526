"""A project goes into one zip file and comes out whole; a file from elsewhere can do no harm."""

import io
import json
import sqlite3
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custom_ai.documents import library, originals
from custom_ai.documents.search import search
from custom_ai.errors import UserError
from custom_ai.projects import archive, moves
from custom_ai.projects import project as projects
from custom_ai.projects.names import inner_path
from custom_ai.projects.project import Project
from custom_ai.runs import idle
from custom_ai.runs import run as runs
from custom_ai.step import Step
from tests.projects.faults import at_every_write, tree

TEXT = "Die Glocke des Nordturms läutet um zwölf.\n" * 20
CONFIG = {"version": 1, "name": "Fremd", "created_at": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = projects.create("Größe 1")
    path = originals.keep(made, "Über/Türme.txt", [TEXT.encode()])
    library.add(made, [path], Step(tmp_path, lambda _: None, lambda: None))
    runs.create(made, "documents", {"paths": []}, {}).set_state("finished")
    (made.models / "m").mkdir()
    (made.models / "m" / "weights.gguf").write_bytes(bytes(range(256)) * 400)
    (made.models / "m" / "empty.txt").touch()
    return made


def zipped(path: Path, entries: dict[Any, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip file with these entries, names as they are."""
    with zipfile.ZipFile(path, "w", how) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


def refused(path: Path, name: str | None = "new") -> str:
    """The code of the refusal; checks that nothing was left of the attempt."""
    home = projects.projects_folder().parent
    before = {p for p in home.rglob("*") if ".unfinished" not in p.name}
    with pytest.raises(UserError) as caught:
        idle.unpack(path, name)
    assert caught.value.hint
    after = {p for p in home.rglob("*") if ".unfinished" not in p.name}
    assert after - before <= {home / "projects"}
    return caught.value.code


def test_a_project_comes_out_of_its_archive_as_it_went_in(project: Project, tmp_path: Path) -> None:
    before = tree(project)
    path = idle.pack(project, tmp_path)
    assert path.parent == tmp_path and path.name.startswith("grösse-1-")
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert file.namelist() == sorted(file.namelist())
        assert {name.split("/")[0] for name in file.namelist()} == {"grösse-1"}
    moves.delete(project)
    opened = idle.unpack(path)
    assert opened == projects.find("Größe 1")
    after = tree(opened)
    assert after.keys() == before.keys()
    assert {k for k in before if before[k] != after[k]} <= {"data/project.db"}
    assert [hit.filename for hit in search(opened, "Nordturms")][:1] == ["Über/Türme.txt"]
    (document,) = library.list_all(opened)
    assert Path(document.path).read_text("utf-8") == TEXT


def test_an_archive_goes_to_a_folder_of_its_own_unless_told_otherwise(
    project: Project, own_home: Path
) -> None:
    path = idle.pack(project)
    assert path.parent == own_home / "archives"
    assert idle.unpack(path, "Zweiter").config.name == "Zweiter"
    assert {p.slug for p in projects.find_all()} == {"grösse-1", "zweiter"}


def test_an_archive_cannot_lie_in_the_project_it_is_made_of(project: Project) -> None:
    with pytest.raises(UserError) as caught:
        idle.pack(project, project.folder / "data")
    assert caught.value.code == "projects.archive_inside"


def test_names_that_differ_in_case_only_come_out_again(project: Project, tmp_path: Path) -> None:
    for name in ("README.md", "readme.md"):
        originals.keep(project, name, [name.encode()])
    if len(list(project.originals.glob("*.md"))) == 1:
        pytest.skip("this disk takes them for the same file")
    opened = idle.unpack(idle.pack(project, tmp_path), "new")
    assert (opened.originals / "readme.md").read_bytes() == b"readme.md"
    assert (opened.originals / "README.md").read_bytes() == b"README.md"


def test_the_longest_name_of_an_original_comes_out_again(project: Project, tmp_path: Path) -> None:
    name = "/".join(["x" * 24] * 15) + "/" + "ä" * 24
    path = originals.keep(project, name, [b"deep"])
    opened = idle.unpack(idle.pack(project, tmp_path), "new")
    assert (opened.folder / path.relative_to(project.folder)).read_bytes() == b"deep"


def test_what_could_not_be_opened_is_not_packed(project: Project, tmp_path: Path) -> None:
    (project.models / "a:b").touch()
    with pytest.raises(UserError) as caught:
        idle.pack(project, tmp_path)
    assert caught.value.code == "projects.cannot_archive" and "a:b" in caught.value.message
    assert list(tmp_path.glob("*.zip*")) == list(tmp_path.glob(".*.tmp")) == []


def test_a_name_that_is_taken_is_refused(project: Project, tmp_path: Path) -> None:
    path = idle.pack(project, tmp_path)
    before = tree(project)
    assert refused(path, None) == "projects.exists"
    assert refused(path, "../evil") == "projects.bad_name"
    assert tree(project) == before


def test_a_run_that_was_at_work_is_interrupted_in_the_opened_project(
    project: Project, tmp_path: Path
) -> None:
    dead = runs.create(project, "train", {}, {})
    dead.set_state("running")
    (dead.folder / "process.json").write_text(json.dumps({"pid": 2**22 + 1, "started": 1.0}))
    opened = idle.unpack(idle.pack(project, tmp_path), "new")
    assert runs.find(opened).state == "interrupted"
    assert not list(opened.runs.rglob("process.json"))


@pytest.mark.parametrize("top", ["", "thesis/"])
def test_a_project_folder_that_was_zipped_by_hand_opens(top: str, tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "a.zip",
        {
            f"{top}config.json": json.dumps(CONFIG).encode(),
            f"{top}models/": b"",
            f"{top}data/originals/a.txt": b"text",
            **({"__MACOSX/._config.json": b"junk"} if top else {}),
        },
    )
    opened = idle.unpack(path)
    assert opened.slug == "fremd"
    assert tree(opened).keys() == {"config.json", "data/originals/a.txt"}


BAD_NAMES = [
    "../evil.txt", "a/../../evil.txt", "/etc/evil", "//host/evil", "C:/evil", "C:evil",
    "..\\evil.txt", "a\\..\\..\\evil", "a/./b", "a//b", "./a", "a/..", "con", "a/NUL.txt",
    "aux .txt", "a/b.", "a/b ", "a\x00b", "a\nb", "a:b", "a?b", "com1.txt", "x" * 300,
    "a/" * 40 + "b", "\u2028", "lpt¹",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("top", ["", "thesis/"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, top: str, tmp_path: Path) -> None:
    for place in {name, f"{top}{name}"}:
        entry = zipfile.ZipInfo("x")
        entry.filename = entry.orig_filename = place
        files = {f"{top}config.json": json.dumps(CONFIG).encode(), entry: b"evil"}
        assert refused(zipped(tmp_path / "a.zip", files)) == "projects.archive_unsafe"
    assert not list(tmp_path.rglob("*evil*"))


@given(st.text(alphabet=st.sampled_from("a./\\: \x00Cé~"), max_size=12))
def test_no_inner_path_leads_out_of_its_folder(name: str) -> None:
    parts = inner_path(name)
    if parts is not None:
        assert Path("/x/y").joinpath(*parts).resolve().is_relative_to("/x/y")
        assert "/".join(parts) == name or not name.isascii()


def _link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def _device(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFIFO | 0o666) << 16
    return entry


CONFIGURED = {"config.json": json.dumps(CONFIG).encode()}
WRONG: dict[str, tuple[dict[Any, bytes], str]] = {
    "a link": ({**CONFIGURED, _link("data"): b"/etc"}, "projects.archive_unsafe"),
    "a pipe": ({**CONFIGURED, _device("data/p"): b""}, "projects.archive_unsafe"),
    "twice in another spelling": (
        {**CONFIGURED, "a/\u00e9": b"1", "a/e\u0301": b"2"},
        "projects.archive_unsafe",
    ),
    "a file where a folder is wanted": (
        {**CONFIGURED, "a": b"1", "a/b": b"2"},
        "projects.archive_damaged",
    ),
    "nothing": ({}, "projects.no_archive"),
    "no project": ({"letter.txt": b"hello"}, "projects.no_archive"),
    "a model": ({"m/config.json": b'{"model_type": "llama"}'}, "projects.no_archive"),
    "two projects": (
        {"a/config.json": CONFIGURED["config.json"], "b/config.json": CONFIGURED["config.json"]},
        "projects.no_archive",
    ),
    "no JSON": ({"config.json": b"{"}, "projects.no_archive"),
    "no text": ({"config.json": b"\xff\xfe\x00"}, "projects.no_archive"),
    "a list": ({"config.json": b"[]"}, "projects.no_archive"),
    "deep JSON": ({"config.json": b"[" * 100_000}, "projects.no_archive"),
    "a newer version": (
        {"config.json": json.dumps({**CONFIG, "version": 2, "more": 1}).encode()},
        "projects.archive_newer",
    ),
    "no database": (
        {**CONFIGURED, "data/project.db": b"this is no database" * 100},
        "projects.archive_damaged",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_archive_is_refused_and_leaves_nothing(what: str, tmp_path: Path) -> None:
    entries, code = WRONG[what]
    assert refused(zipped(tmp_path / "a.zip", entries)) == code


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "new.db") as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    data = (tmp_path / "new.db").read_bytes()
    path = zipped(tmp_path / "a.zip", {**CONFIGURED, "data/project.db": data})
    assert refused(path) == "projects.archive_newer"


def test_a_file_that_is_no_zip_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip at all" * 100)
    assert refused(tmp_path / "a.zip") == "projects.no_archive"
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    assert refused(tmp_path / "a.zip") == "projects.archive_damaged"
    assert refused(tmp_path / "missing.zip") == "projects.archive_missing"
    assert refused(tmp_path) == "projects.archive_missing"


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ALWAYS_ALLOWED", 1 << 20)
    bomb = zipped(tmp_path / "a.zip", {**CONFIGURED, "zeros": bytes(20 << 20)})
    assert refused(bomb) == "projects.archive_too_big"
    monkeypatch.setattr(archive, "MOST_FILES", 10)
    many = zipped(tmp_path / "b.zip", {**CONFIGURED, **{f"f{n}": b"" for n in range(11)}})
    assert refused(many) == "projects.archive_too_big"


def test_a_bomb_that_lies_about_its_size_ends_at_the_size_it_told(tmp_path: Path) -> None:
    entries = {**CONFIGURED, "zeros": bytes(1 << 20)}
    data = zipped(tmp_path / "a.zip", entries).read_bytes()
    size = (1 << 20).to_bytes(4, "little")
    assert data.count(size) == 2
    (tmp_path / "a.zip").write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    assert refused(tmp_path / "a.zip") == "projects.archive_damaged"


def test_a_password_is_refused(project: Project, tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "a.zip", {**CONFIGURED, "a": b"1"}).read_bytes())
    # The flag of encryption, in the entry and in the directory.
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(start) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert refused(tmp_path / "a.zip") == "projects.archive_unsafe"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1), value=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_archive_opens_whole_or_is_refused(
    small_archive: bytes, place: float, value: int, cut: bool, tmp_path: Path
) -> None:
    data = bytearray(small_archive)
    at = int(place * (len(data) - 1))
    if cut:
        del data[at:]
    else:
        data[at] ^= value
    path = tmp_path / "damaged.zip"
    path.write_bytes(data)
    try:
        opened = idle.unpack(path, "new")
    except UserError as error:
        assert error.code.startswith(("projects.", "errors."))
        assert not any(p.slug == "new" for p in projects.find_all())
    else:
        for name in ("data/originals/a.txt", "models/m/b.bin"):
            found = opened.folder / name
            assert not found.exists() or found.read_bytes() in (TEXT.encode(), bytes(5000))
        moves.delete(opened)


@pytest.fixture(scope="module")
def small_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", json.dumps(CONFIG))
        file.writestr("data/originals/a.txt", TEXT)
        file.writestr("models/m/b.bin", bytes(5000))
    return stream.getvalue()


@pytest.mark.parametrize("fault", ["kill", "full"])
def test_an_archive_is_there_whole_or_not_at_all_after_a_fault_at_any_write(
    project: Project, fault: str, tmp_path: Path
) -> None:
    target = tmp_path / "a.zip"
    struck = 0
    for _ in at_every_write(lambda: idle.pack(project, target), fault):
        struck += 1
        if target.exists():
            with zipfile.ZipFile(target) as file:
                assert file.testzip() is None
                assert len(file.namelist()) == len(tree(project))
            target.unlink()
    assert struck > 5
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("fault", ["kill", "full"])
def test_a_project_is_opened_whole_or_not_at_all_after_a_fault_at_any_write(
    project: Project, fault: str, tmp_path: Path
) -> None:
    path = idle.pack(project, tmp_path)
    whole = tree(project).keys()
    struck = 0
    for _ in at_every_write(lambda: idle.unpack(path, "new"), fault):
        struck += 1
        if any(p.slug == "new" for p in projects.find_all()):
            assert tree(projects.find("new")).keys() == whole
            moves.delete(projects.find("new"))
    assert struck > 10
    assert tree(projects.find("new")).keys() == whole
    assert not list((projects.projects_folder() / ".unfinished").iterdir())
