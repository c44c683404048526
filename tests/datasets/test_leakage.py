"""What measures the model must not stand in what it learns from."""

import json
from pathlib import Path
from typing import Any

import pytest

from custom_ai.datasets.collection import collect
from custom_ai.datasets.formats import export_samples
from custom_ai.datasets.imports import import_samples
from custom_ai.datasets.leakage import leakage
from custom_ai.datasets.review import Filter, Review
from custom_ai.datasets.sample import Sample, Split
from custom_ai.projects.project import Project
from custom_ai.texts import use_language
from tests.datasets.corpus import fill_journal, make_project, prose

QUESTION = "Wie lange muss das Archiv die Akten der Bauaufsicht nach dem Gesetz aufheben?"
ANSWER = "Das Archiv hebt die Akten der Bauaufsicht dreißig Jahre lang auf, danach prüft es sie."


def _sample(id_: str, split: Split, question: str = QUESTION, answer: str = ANSWER) -> Sample:
    return Sample(instruction=question, output=answer, id=id_, split=split)


@pytest.fixture
def project() -> Project:
    project = make_project({f"{name}.txt": prose(seed, 32) for seed, name in enumerate("abc")})
    fill_journal(project, 60)
    return project


def test_a_copy_is_found_in_whatever_spelling() -> None:
    found = leakage(
        [
            _sample("t", "train", QUESTION.upper(), f"„{ANSWER}“"),
            _sample("x", "exam"),
            _sample("v", "validation"),
        ]
    )
    assert [(leak.held_out.id, leak.train.id, leak.share) for leak in found.leaks] == [
        ("x", "t", 1.0), ("v", "t", 1.0),
    ]  # fmt: skip
    assert (found.train, found.held_out) == (1, 2)


def test_the_same_long_answer_to_another_question_is_a_leak() -> None:
    found = leakage(
        [_sample("t", "train", "Was gilt für Akten?", ANSWER * 2), _sample("x", "exam")]
    )
    (leak,) = found.leaks
    assert 0.6 <= leak.share < 1


def test_of_several_samples_the_one_that_gives_most_away_is_named() -> None:
    part = "Das Archiv hebt die Akten der Bauaufsicht dreißig Jahre lang auf, sonst nichts."
    found = leakage([_sample("a", "train", QUESTION, part), _sample("b", "train"),
                     _sample("x", "exam")])  # fmt: skip
    assert [leak.train.id for leak in found.leaks] == ["b"]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Hebt das Archiv Akten auf?", "Ja."),
        (
            "Wie lange muss das Archiv die Bilder der Stadt nach dem Vertrag aufheben?",
            "Zehn Jahre.",
        ),
    ],
)
def test_words_that_all_speak_alike_are_no_leak(question: str, answer: str) -> None:
    other = _sample("t", "train", "Gibt es eine Bauaufsicht?", answer)
    assert (
        leakage([other, _sample("t2", "train"), _sample("x", "exam", question, answer)]).leaks == ()
    )


def test_within_one_split_nothing_leaks() -> None:
    for split in ("train", "exam"):
        assert leakage([_sample("a", split), _sample("b", split)]).leaks == ()


def test_generated_samples_do_not_leak_and_the_card_says_so(
    project: Project, tmp_path: Path
) -> None:
    found = leakage(collect(project).of("accepted"))
    assert found.leaks == () and found.train and found.held_out
    card, words = _card(project, tmp_path)
    assert card["leakage"] == found.as_json()
    assert f"0 of {found.held_out}" in words


def test_imported_and_edited_samples_are_compared_too(project: Project, tmp_path: Path) -> None:
    use_language("de")
    review = Review(project)
    (exam, *_) = review.page(Filter(status="accepted", split="exam")).items
    (train, *_) = review.page(Filter(status="accepted", split="train")).items
    copy = tmp_path / "copy.jsonl"
    row = {"instruction": QUESTION, "output": ANSWER}
    copy.write_text("\n".join(
        json.dumps({**row, "instruction": f"{word} {QUESTION}", "split": split})
        for word, split in (("Und", "train"), ("Aber", "test"))
    ))  # fmt: skip
    import_samples(project, copy)
    review = Review(project)
    for each in review.page(Filter(dataset="copy.jsonl"), limit=9).items:
        review.decide([each.sample.id], "accepted")
    review.edit(train.sample.id, exam.sample.instruction, exam.sample.output)
    review.decide([train.sample.id], "accepted")
    review.save()
    found = leakage(collect(project).of("accepted"))
    assert {leak.train.id for leak in found.leaks} >= {train.sample.id}
    assert {leak.held_out.dataset for leak in found.leaks} == {
        "copy.jsonl",
        "openrouter maker/model",
    }
    card, words = _card(project, tmp_path)
    assert len(card["leakage"]["leaks"]) == 2
    assert f"2 von {found.held_out}" in words and train.sample.id in words


def _card(project: Project, folder: Path) -> tuple[dict[str, Any], str]:
    export_samples(project, folder / "out.jsonl", "jsonl")
    card: dict[str, Any] = json.loads((folder / "out.jsonl.card.json").read_text("utf-8"))
    return card, (folder / "out.jsonl.card.md").read_text("utf-8")
