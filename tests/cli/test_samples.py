"""Samples are reviewed on the command line, by people and by programs."""

import io
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


def test_nothing_is_sent_before_people_agreed(say: Any, language: str) -> None:
    asked = ("samples", "generate", "one", "--provider", "openrouter", "--model", "maker/model")
    refused = say(*asked, "--json")
    assert_clear(refused, language, "datasets.no_consent")
    assert "openrouter.ai" in refused.err and "--yes" in refused.err
    project = projects.find("one")
    assert project.config.consents == {} and not list(project.runs.iterdir())


class Typed(io.StringIO):
    """What somebody types at a terminal."""

    def isatty(self) -> bool:
        return True


def test_an_agreement_is_asked_for_once(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("samples", "generate", "one", "--provider", "ollama", "--model", "m",
             "--base-url", "http://nobody.invalid:1")  # fmt: skip
    monkeypatch.setattr("sys.stdin", Typed("no\n"))
    refused = say(*asked)
    assert refused.code == 1 and "nobody.invalid (ollama)" in refused.err
    assert projects.find("one").config.consents == {}
    monkeypatch.setattr("sys.stdin", Typed("yes\n"))
    assert "nobody.invalid (ollama)" in say(*asked).err
    assert projects.find("one").config.consents["nobody.invalid"]["provider"] == "ollama"
    assert "nobody.invalid (ollama)" not in say(*asked).err


def test_prompts_are_shown_changed_and_reset(say: Any, language: str, tmp_path: Path) -> None:
    shown = say("samples", "prompts", "one", "--json").json
    parts = ("system", "user", "judge_system", "judge_user")
    assert set(shown) == {f"{of}.{part}" for of in ("de", "en") for part in parts}
    assert {each["from"] for each in shown.values()} == {"program"}
    words = tmp_path / "words.txt"
    words.write_text("Fragen Sie: {chunk}", "utf-8")
    change = ("samples", "prompts", "one", "--name", "de.user", "--file", str(words))
    assert say(*change, "--everywhere", "--json").json["de.user"]["from"] == "settings"
    assert say(*change, "--json").json["de.user"]["from"] == "settings"
    words.write_text("Fragen Sie hier: {chunk}", "utf-8")
    assert say(*change, "--json").json["de.user"] == {
        "text": "Fragen Sie hier: {chunk}", "from": "project",
    }  # fmt: skip
    assert "{topic}" in say("samples", "prompts", "one").out
    back = say("samples", "prompts", "one", "--name", "de.user", "--reset", "--json").json
    assert back["de.user"]["from"] == "settings"
    words.write_text("Nichts", "utf-8")
    assert_clear(say(*change, "--json"), language, "datasets.missing_variable")
    missing = say("samples", "prompts", "one", "--name", "de.user", "--file", "none", "--json")
    assert_clear(missing, language, "cli.prompt_unreadable")
    nameless = say("samples", "prompts", "one", "--reset", "--json")
    assert_clear(nameless, language, "cli.prompt_name_missing")


def test_the_request_can_be_looked_at(say: Any) -> None:
    seen = say("samples", "preview", "one", "--provider", "openrouter", "--model", "m", "--json")
    assert seen.json["reason"]["code"] == "providers.openrouter_no_key"
    assert [message["role"] for message in seen.json["messages"]] == ["system", "user"]
    assert "=====" in say("samples", "preview", "one").out


def test_files_come_in_and_go_out_with_a_card(say: Any, language: str, tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("Frage;Antwort\nWer ist es?;Anna ist es.\nWer?;Laut dem Text Anna.\n")
    spoken = say("samples", "import", "one", str(table), "--json").json
    assert spoken == {"added": 2, "quarantined": 1, "unchanged": 0, "shortened": 0}
    assert "own.csv" in say("samples", "list", "one", "--dataset", "own.csv").out
    doubted = say("samples", "list", "one", "--reason", "leak", "--json").json
    assert [sample["instruction"] for sample in doubted] == ["Wer?"]
    out = tmp_path / "out.csv"
    taken = ("--format", "csv", "--dataset", "own.csv", "--json")
    made = say("samples", "export", "one", str(out), *taken).json
    assert made["count"] == 1 and Path(made["card"]).is_file()
    table.write_text("Frage;Antwort\nWer ist es?;\n")
    wrong = say("samples", "import", "one", str(table), "--json")
    assert_clear(wrong, language, "datasets.bad_line")


def test_what_is_known_in_the_training_is_named(say: Any, tmp_path: Path) -> None:
    words = "das Archiv der Stadt die alten Akten der Bauaufsicht noch lange aufheben muss"
    table = tmp_path / "own.csv"
    table.write_text(
        f"Frage;Antwort;split\nUnd warum {words}?;Weil {words}.;train\n"
        f"Aber warum {words}?;Weil {words}.;test\n"
    )
    say("samples", "import", "one", str(table))
    for sample in say("samples", "list", "one", "--dataset", "own.csv", "--json").json:
        say("samples", "accept", "one", sample["id"])
    (leak,) = say("samples", "leaks", "one", "--json").json["leaks"]
    assert leak["split"] == "exam" and leak["share"] > 0.6
    shown = say("samples", "leaks", "one").out
    assert leak["id"] in shown and leak["train_id"] in shown and "samples reject" in shown
    say("samples", "reject", "one", leak["train_id"])
    assert say("samples", "leaks", "one", "--json").json["leaks"] == []
