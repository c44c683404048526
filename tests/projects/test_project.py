"""A project is a folder with a safe name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing


def test_a_new_project_can_be_found_under_its_name() -> None:
    made = projects.create("Meine Masterarbeit")
    assert made.slug == "meine-masterarbeit"
    assert projects.find("Meine Masterarbeit") == made
    assert projects.find("meine-masterarbeit").config.name == "Meine Masterarbeit"
    assert projects.find_all() == [made]


@pytest.mark.parametrize(
    "name",
    ["../evil", "..", ".", "", "a/b", "a\\b", "/etc", "C:evil", "con", "NUL.txt", "x" * 81,
     ".hidden", "-rf", "a\x00b", "name.", "a..b", " ", "\u202eabc", "ä" * 200],
)  # fmt: skip
def test_a_dangerous_name_is_refused(name: str, own_home: Path) -> None:
    with pytest.raises(UserError) as caught:
        projects.create(name)
    assert caught.value.code == "projects.bad_name"
    assert caught.value.hint
    assert not (own_home / "projects").exists()


@given(st.text(max_size=100))
def test_no_name_ever_leaves_the_projects_folder(name: str) -> None:
    try:
        slug = projects.slug_of(name)
    except UserError:
        return
    folder = projects.projects_folder()
    assert (folder / slug).resolve().parent == folder.resolve()


def test_a_name_is_taken_only_once_whatever_its_case() -> None:
    projects.create("Thesis")
    with pytest.raises(UserError, match="already"):
        projects.create("THESIS")


def test_an_unknown_project_names_the_known_ones() -> None:
    projects.create("one")
    with pytest.raises(UserError) as caught:
        projects.find("two")
    assert "one" in caught.value.hint


def test_a_damaged_configuration_is_named() -> None:
    project = projects.create("one")
    for broken in ("{", "[]", '{"version": 99}'):
        project.config_file.write_text(broken, encoding="utf-8")
        with pytest.raises(UserError):
            _ = project.config


def test_a_second_writer_is_told_who_is_at_work() -> None:
    project = projects.create("one")
    with (
        writing(project, "train (run 3)"),
        pytest.raises(UserError, match=r"train \(run 3\)"),
        writing(project, "other"),
    ):
        pass
    with writing(project, "other"):
        pass
