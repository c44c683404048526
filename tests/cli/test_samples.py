"""Samples are reviewed on the command line, by people and by programs."""

from pathlib import Path
from typing import Any

import pytest

from custom_ai.cli import main
from custom_ai.datasets.sample import read_samples
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from tests.cli.test_command_line import Spoken, assert_clear
from tests.datasets.corpus import fill_journal, make_project, prose


@pytest.fixture(autouse=True)
def samples(own_home: Path) -> None:
    project = make_project({"a.txt": prose(0, 32), "b.txt": prose(1, 32)}, name="one")
    fill_journal(project, 40)


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both languages, one after the other."""
    monkeypatch.setenv("CUSTOM_AI_LANGUAGE", request.param)
    return str(request.param)


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process."""

    def run(*words: str) -> Spoken:
        capfd.readouterr()
        code = main(list(words))
        return Spoken(code, *capfd.readouterr())

    return run


def _ids(say: Any, *words: str) -> list[str]:
    return [sample["id"] for sample in say("samples", "list", "one", *words, "--json").json]


def _trained() -> dict[str, str]:
    return {s.id: s.output for s in read_samples(projects.find("one").samples)}


def test_the_list_can_be_narrowed(say: Any) -> None:
    everything = say("samples", "list", "one", "--json").json
    assert len(everything) == 40
    of_b = say("samples", "list", "one", "--document", "b.txt", "--json").json
    assert of_b and {sample["filename"] for sample in of_b} == {"b.txt"}
    of_exam = say("samples", "list", "one", "--split", "exam", "--json").json
    assert {sample["split"] for sample in of_exam} == {"exam"}
    found = say("samples", "list", "one", "--search", everything[3]["quote"].upper(), "--json").json
    assert everything[3]["id"] in [sample["id"] for sample in found] and len(found) < 40
    assert _ids(say, "--reviewed") == []
    assert "Nothing found." in say("samples", "list", "one", "--search", "xyzxyz").out


def test_a_sample_is_edited_rejected_shown_and_restored(say: Any, language: str) -> None:
    id_, other, *_ = _ids(say, "--status", "accepted")
    edited = say("samples", "edit", "one", id_, "--output", "Es waren 424242.", "--json").json
    assert (edited["status"], edited["edited"]) == ("quarantined", True)
    assert edited["checks"]["numbers"] == "424242"
    assert id_ not in _trained()
    accepted = say("samples", "accept", "one", id_, "--json").json
    assert [(s["id"], s["status"], s["decided"]) for s in accepted] == [
        (id_, "accepted", "accepted")
    ]
    assert _trained()[id_] == "Es waren 424242."
    assert say("samples", "reject", "one", id_, other).code == 0
    assert _ids(say, "--reviewed") == [id_, other]
    assert not {id_, other} & set(_trained())
    history = say("samples", "history", "one", id_, "--json").json
    assert [(v["version"], v["status"]) for v in history] == [
        (0, "accepted"), (1, "quarantined"), (2, "accepted"), (3, "rejected"),
    ]  # fmt: skip
    shown = say("samples", "history", "one", id_)
    by_hand = {"en": "rejected (decided by hand", "de": "verworfen (von Hand entschieden"}
    assert by_hand[language] in shown.out and "424242" in shown.out
    restored = say("samples", "restore", "one", id_, other, "--json").json
    assert [s["edited"] or s["decided"] for s in restored] == [None, None]
    assert _trained()[id_] == history[0]["output"] and other in _trained()


def test_decisions_outlive_a_new_check_and_say_who_made_them(say: Any) -> None:
    id_ = _ids(say, "--status", "accepted")[0]
    before = say("samples", "check", "one", "--json").json
    say("samples", "reject", "one", id_)
    checked = say("samples", "check", "one", "--json").json
    assert checked["rejected"] == before["rejected"] + 1
    assert checked["accepted"] == before["accepted"] - 1
    assert "decided by hand" in say("samples", "check", "one").out


def test_samples_are_reviewed_while_a_run_writes_to_the_project(say: Any) -> None:
    id_ = _ids(say)[0]
    with writing(projects.find("one"), "samples (run 1)"):
        assert say("samples", "reject", "one", id_).code == 0
    assert id_ not in _trained()


@pytest.mark.parametrize("command", ["edit", "accept", "reject", "restore", "history"])
def test_an_unknown_sample_is_named(say: Any, language: str, command: str) -> None:
    known = [] if command in ("edit", "history") else _ids(say)[:1]
    spoken = say("samples", command, "one", *known, "nobody", "--json")
    assert_clear(spoken, language, "datasets.unknown_sample")
    assert "nobody" in spoken.err
    assert _ids(say, "--reviewed") == []


def test_an_empty_answer_is_refused(say: Any, language: str) -> None:
    spoken = say("samples", "edit", "one", _ids(say)[0], "--output", " ", "--json")
    assert_clear(spoken, language, "datasets.empty_sample")


def test_coverage_and_doubles_are_shown_and_other_rules_ask_nobody(say: Any, language: str) -> None:
    covered = say("samples", "coverage", "one")
    assert covered.code == 0 and "%" in covered.out
    data = say("samples", "coverage", "one", "--json").json
    assert {chapter["filename"] for chapter in data["chapters"]} == {"a.txt", "b.txt"}
    assert say("samples", "doubles", "one").code == 0
    strict = say("samples", "check", "one", "--word-recall", "1", "--json").json
    assert strict["rules"]["word_recall"] == 1 and strict["reasons"]
    loose = say("samples", "check", "one", "--word-recall", "0.2", "--json").json
    assert loose["accepted"] >= strict["accepted"]
    wrong = say("samples", "check", "one", "--word-recall", "7", "--json")
    assert_clear(wrong, language, "errors.wrong_option")
