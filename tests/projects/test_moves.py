"""A project is renamed, copied and deleted as a whole, and never while somebody works on it."""

import errno
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from custom_ai.documents import library, originals
from custom_ai.documents.search import search
from custom_ai.errors import UserError
from custom_ai.projects import database, moves
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from custom_ai.projects.project import Project
from custom_ai.runs import idle, requests, runner
from custom_ai.runs import run as runs
from custom_ai.step import Step
from tests.projects.faults import at_every_write, tree

TEXT = "The bell of the northern tower rings at noon.\n" * 20


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path, lambda _: None, lambda: None)


@pytest.fixture
def project(step: Step) -> Project:
    """A project with a document of its own, a finished run and what stands for weights."""
    made = projects.create("Thesis")
    path = originals.keep(made, "Ordner/tower.txt", [TEXT.encode()])
    library.add(made, [path], step)
    run = runs.create(made, "documents", {"paths": []}, {})
    run.set_state("finished")
    (made.models / "thesis").mkdir()
    (made.models / "thesis" / "weights.gguf").write_bytes(bytes(range(256)) * 400)
    return made


def test_a_renamed_project_keeps_all_it_has(project: Project, step: Step) -> None:
    before = tree(project)
    renamed = moves.rename(project, "Meine Arbeit")
    assert renamed == projects.find("Meine Arbeit")
    assert projects.find_all() == [renamed]
    assert (renamed.slug, renamed.config.name) == ("meine-arbeit", "Meine Arbeit")
    after = tree(renamed)
    assert before.keys() == after.keys()
    assert {k for k in before if before[k] != after[k]} == {"config.json"}
    assert len(runs.all_runs(renamed)) == 1
    assert not (renamed.folder / ".lock-owner.json").exists()


def test_a_document_inside_a_renamed_project_is_still_the_same(
    project: Project, step: Step
) -> None:
    renamed = moves.rename(project, "other")
    (document,) = library.list_all(renamed)
    path = Path(document.path)
    assert path.is_relative_to(renamed.folder) and path.read_text() == TEXT
    again = library.add(renamed, [renamed.originals], step)
    assert (again.added, again.unchanged) == (0, 1)
    assert library.list_all(renamed) == [document]
    originals.keep(renamed, "Ordner/tower.txt", [b"The lamp burns with oil.\n"])
    assert library.add(renamed, [renamed.originals], step).added == 1
    (changed,) = library.list_all(renamed)
    assert changed.filename == "Ordner/tower.txt"
    assert search(renamed, "northern") == []
    library.remove(renamed, changed.id)
    assert not path.exists()


def test_a_paused_run_on_own_documents_goes_on_after_a_renaming(project: Project) -> None:
    options = requests.documents([project.originals], project)
    run = runs.create(project, "documents", options, {})
    run.set_state("paused")
    renamed = idle.rename(project, "other")
    again, continued = runner.start(
        renamed, "documents", requests.documents([renamed.originals], renamed)
    )
    assert continued
    runner.wait(again)
    assert again.state == "finished", again.log.read_text("utf-8")
    result = again.result()
    assert result is not None and result["failed"] == [] and result["unchanged"] == 1


def test_a_new_name_for_the_same_folder_changes_only_the_name(project: Project) -> None:
    assert moves.rename(project, "THESIS") == project
    assert project.config.name == "THESIS"


def test_a_name_that_is_taken_or_bad_changes_nothing(project: Project) -> None:
    projects.create("other")
    (projects.projects_folder() / "rest").mkdir()
    before = tree(project)
    for name, code in (
        ("other", "projects.exists"),
        ("../evil", "projects.bad_name"),
        ("rest", "projects.folder_taken"),
    ):
        for change in (idle.rename, idle.duplicate):
            with pytest.raises(UserError) as caught:
                change(project, name)
            assert caught.value.code == code and caught.value.hint
    assert tree(project) == before


def test_a_folder_that_cannot_be_moved_keeps_its_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Windows answers when a program has a file in the folder open.
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "in use")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        with pytest.raises(UserError) as caught:
            moves.rename(project, "other")
    assert caught.value.code == "projects.cannot_move"
    assert project.config.name == "Thesis"
    assert projects.find_all() == [project]


Change = Callable[[Project], object]
CHANGES: dict[str, Change] = {
    "rename": lambda project: idle.rename(project, "other"),
    "duplicate": lambda project: idle.duplicate(project, "other"),
    "archive": lambda project: idle.pack(project),
    "delete": idle.delete,
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_done_to_a_project_while_somebody_writes_to_it(
    project: Project, change: str
) -> None:
    with writing(project, "train (run 3)"):
        with pytest.raises(UserError, match=r"train \(run 3\)"):
            CHANGES[change](project)
        assert projects.find_all() == [project]
    assert not list((projects.projects_folder() / ".unfinished").glob("*"))


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_done_to_a_project_while_a_run_waits_for_its_turn(
    project: Project, change: str
) -> None:
    # A queued run holds no lock yet.
    waiting = runs.create(project, "train", {}, {})
    waiting.set_process(os.getpid())
    with pytest.raises(UserError) as caught:
        CHANGES[change](project)
    assert caught.value.code == "runs.busy"
    assert projects.find_all() == [project]


def test_a_copy_is_complete_and_a_project_of_its_own(project: Project, step: Step) -> None:
    before = tree(project)
    copy = idle.duplicate(project, "Second try")
    assert {p.slug for p in projects.find_all()} == {"thesis", "second-try"}
    assert copy.config.name == "Second try"
    assert tree(copy).keys() == before.keys()
    assert (copy.models / "thesis" / "weights.gguf").read_bytes() == bytes(range(256)) * 400
    assert [hit.filename for hit in search(copy, "northern tower")][:1] == ["Ordner/tower.txt"]
    library.remove(copy, "Ordner/tower.txt")
    assert tree(project) == before
    assert len(library.list_all(project)) == 1


def test_a_copy_has_what_was_committed_but_not_yet_moved_into_the_database_file(
    project: Project,
) -> None:
    with database.connect(project.database) as reader:
        # An open reader keeps the last writes in the log beside the file.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sources").fetchone()
        with database.connect(project.database) as db:
            db.execute("UPDATE sources SET language = 'xx'")
        assert Path(f"{project.database}-wal").stat().st_size > 0
        copy = idle.duplicate(project, "other")
        reader.execute("COMMIT")
    assert [d.language for d in library.list_all(copy)] == ["xx"]


def test_a_run_that_died_does_not_look_alive_in_a_copy(project: Project) -> None:
    dead = runs.create(project, "train", {}, {})
    child = os.fork()
    if child == 0:
        signal.pause()
    dead.set_process(child)
    dead.set_state("running")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert dead.state == "interrupted"
    copy = idle.duplicate(project, "other")
    states = [run.state for run in runs.all_runs(copy)]
    assert states == ["finished", "interrupted"]
    assert not list(copy.runs.rglob("process.json"))


def test_what_a_killed_process_left_half_made_is_not_copied(project: Project) -> None:
    (project.models / "x.partial").mkdir()
    (project.models / "x.partial" / "half.gguf").write_bytes(b"half")
    (project.folder / "data" / ".sft_data.jsonl.4711.tmp").write_bytes(b"half")
    copy = idle.duplicate(project, "other")
    assert not [path for path in tree(copy) if "partial" in path or "tmp" in path]


def test_a_link_to_a_folder_elsewhere_is_named(project: Project, tmp_path: Path) -> None:
    (project.models / "far").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(UserError) as caught:
        idle.duplicate(project, "other")
    assert caught.value.code == "projects.link_inside"
    assert projects.find_all() == [project]


@pytest.mark.parametrize("fault", ["kill", "full"])
def test_a_copy_is_there_whole_or_not_at_all_after_a_fault_at_any_write(
    project: Project, fault: str
) -> None:
    before = tree(project)
    struck = 0
    for _ in at_every_write(lambda: idle.duplicate(project, "other"), fault):
        struck += 1
        assert tree(project) == before
        found = {p.slug for p in projects.find_all()}
        if "other" in found:
            assert tree(projects.find("other")).keys() == before.keys()
            moves.delete(projects.find("other"))
    assert struck > 10
    copy = projects.find("other")
    assert tree(copy).keys() == before.keys()
    with sqlite3.connect(copy.database) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    assert not list((projects.projects_folder() / ".unfinished").iterdir())


@pytest.mark.parametrize("fault", ["kill", "full"])
def test_a_renaming_is_done_or_can_be_done_again_after_a_fault_at_any_write(
    project: Project, fault: str
) -> None:
    before = tree(project)
    struck = 0
    for _ in at_every_write(lambda: moves.rename(project, "other"), fault):
        struck += 1
        (found,) = projects.find_all()
        assert tree(found).keys() == before.keys()
        if found.slug == "other":
            assert found.config.name == "other"
            moves.rename(found, "Thesis")
    assert struck > 3


def test_a_deleted_project_is_gone(project: Project) -> None:
    moves.delete(project)
    assert projects.find_all() == []
    assert not project.folder.exists()
    assert not list((projects.projects_folder() / ".unfinished").iterdir())


def test_a_project_deleted_by_a_killed_process_does_not_come_back_with_its_name(
    project: Project,
) -> None:
    for _ in at_every_write(lambda: moves.delete(project), "kill"):
        if not projects.find_all():
            break
    assert projects.find_all() == []
    assert tree(projects.create("Thesis")).keys() == {"config.json"}


def test_leftovers_of_a_living_process_are_left_alone(project: Project) -> None:
    other = projects.projects_folder() / ".unfinished" / f"{os.getppid()}-abc"
    other.mkdir(parents=True)
    idle.duplicate(project, "other")
    assert other.exists()
