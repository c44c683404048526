"""Which weights are meant by the base and the tuned model of a project."""

import shutil
from pathlib import Path

import pytest

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.models.catalogue import resolve
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.runs.model_choice import choose
from custom_ai.runs.run import Run


@pytest.fixture
def project() -> Project:
    return projects.create("thesis")


def test_the_base_model_is_that_of_the_project(project: Project) -> None:
    choice = choose(project, "base")
    assert (choice.path, choice.adapter, choice.kind) == (
        resolve("starter").path,
        None,
        "checkpoint",
    )
    with pytest.raises(UserError) as caught:
        choose(project, "base", "gguf")
    assert caught.value.code == "runs.base_has_no_gguf"


def test_an_untrained_project_has_no_tuned_model(project: Project) -> None:
    with pytest.raises(UserError) as caught:
        choose(project, "tuned")
    assert caught.value.code == "runs.not_trained"


def test_the_tuned_model_is_the_newest_training_and_its_newest_gguf(project: Project) -> None:
    first, second = _trained(project), _trained(project)
    assert choose(project, "tuned").adapter == second.folder / "adapter"
    with pytest.raises(UserError) as caught:
        choose(project, "tuned", "gguf")
    assert caught.value.code == "runs.no_gguf"
    _exported(project, first, "old")
    assert choose(project, "tuned").kind == "checkpoint"
    _exported(project, second, "one")
    newest = _exported(project, second, "two")
    assert choose(project, "tuned").path == str(newest)
    assert choose(project, "tuned", "gguf").kind == "gguf"
    assert choose(project, "tuned", "checkpoint").path == resolve("starter").path
    assert choose(project, "tuned", train_run=first.number).path.endswith("old.gguf")


def test_a_deleted_export_is_passed_over(project: Project) -> None:
    trained = _trained(project)
    _exported(project, trained, "one")
    shutil.rmtree(_exported(project, trained, "two").parent)
    assert choose(project, "tuned").path.endswith("one.gguf")


def test_a_moved_project_keeps_its_models(project: Project, tmp_path: Path) -> None:
    _exported(project, _trained(project), "one")
    moved = Project(project.folder.rename(tmp_path / "moved"))
    assert choose(moved, "tuned").path == str(moved.models / "one" / "one.gguf")


def _trained(project: Project) -> Run:
    return _finished(project, "train", {}, {"base_model": "starter"})


def _exported(project: Project, trained: Run, name: str) -> Path:
    path = project.models / name / f"{name}.gguf"
    path.parent.mkdir(parents=True)
    path.touch()
    options = {"format": "gguf", "name": name, "train_run": trained.number}
    _finished(project, "export", options, {"path": str(path)})
    return path


def _finished(project: Project, task: str, options: dict[str, object], result: object) -> Run:
    run = runs.create(project, task, options, {})
    files.write_json(run.folder / "result.json", result)
    run.set_state("finished")
    return run
