"""Files that could not be read stay visible until they are read or gone."""

from pathlib import Path

import pytest

from custom_ai.documents import originals
from custom_ai.errors import UserError
from custom_ai.files import write_json
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import idle, requests, tasks
from custom_ai.runs import run as runs
from custom_ai.runs.failures import failures
from custom_ai.runs.run import Run
from custom_ai.step import Step


@pytest.fixture
def project() -> Project:
    return projects.create("thesis")


def read(project: Project, *paths: Path) -> Run:
    """A documents' run, done on the spot instead of in a process of its own."""
    run = runs.create(project, "documents", requests.documents(list(paths), project), {})
    step = Step(run.folder, lambda _: None, lambda: None)
    write_json(
        run.folder / "result.json", tasks.add_documents(project, run.request()["options"], step)
    )
    run.set_state("finished")
    return run


def listed(project: Project) -> list[tuple[str, str]]:
    return [(failed.path.name, failed.error.code) for failed in failures(project)]


def test_a_file_that_failed_is_listed_with_its_reason(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The bell rings at noon.")
    (tmp_path / "b.pdf").write_text("no PDF " * 30)
    run = read(project, tmp_path, tmp_path / "missing.txt")
    assert listed(project) == [
        ("b.pdf", "documents.text_inside"),
        ("missing.txt", "documents.missing"),
    ]
    (first, _) = failures(project)
    assert first.path == tmp_path / "b.pdf" and first.run == run.number
    assert isinstance(first.error, UserError) and "b.pdf" in first.error.message


def test_a_file_that_was_read_later_is_no_longer_listed(project: Project, tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).write_text("no PDF " * 30)
    read(project, tmp_path)
    (tmp_path / "a.pdf").rename(tmp_path / "c.txt")
    read(project, tmp_path / "c.txt")
    assert [name for name, _ in listed(project)] == ["a.pdf", "b.pdf"]
    (tmp_path / "a.pdf").write_text("")
    read(project, tmp_path / "a.pdf")
    assert listed(project) == [
        ("a.pdf", "documents.empty"),
        ("b.pdf", "documents.text_inside"),
    ]
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).unlink()
    (tmp_path / "b.txt").write_text("The lamp burns.")
    read(project, tmp_path)
    assert listed(project) == []


def test_an_original_that_failed_is_forgotten_with_its_file_and_found_after_a_renaming(
    project: Project,
) -> None:
    originals.keep(project, "x/a.pdf", [b"no PDF " * 30])
    originals.keep(project, "b.pdf", [b"no PDF " * 30])
    read(project, project.originals)
    renamed = idle.rename(project, "other")
    found = failures(renamed)
    assert [failed.path for failed in found] == [
        renamed.originals / "b.pdf",
        renamed.originals / "x" / "a.pdf",
    ]
    assert originals.discard(renamed, found[0].path)
    assert listed(renamed) == [("a.pdf", "documents.text_inside")]
    originals.keep(renamed, "x/a.pdf", [b"no PDF " * 31])
    assert len(listed(renamed)) == 1
    assert originals.discard(renamed, renamed.originals / "x" / "a.pdf")
    originals.keep(renamed, "x/a.txt", [b"The bell rings at noon."])
    read(renamed, renamed.originals)
    assert listed(renamed) == []
