"""The plan covers every document and every split, and no split shares a word with another."""

from collections import defaultdict
from itertools import combinations

import pytest

from custom_ai.datasets.journal import Journal, read
from custom_ai.datasets.plan import Question, make_plan, worth_asking
from custom_ai.documents.store import open_store
from custom_ai.projects.database import connect
from custom_ai.projects.project import Project
from tests.datasets.corpus import add_document, make_project, prose


def _plan(project: Project, seed: int = 0) -> list[Question]:
    with open_store(project) as store:
        return make_plan(store, Journal(project.journal), seed)


def _shares(plan: list[Question]) -> dict[str, float]:
    splits = [question.group.split for question in plan]
    return {split: splits.count(split) / len(splits) for split in set(splits)}


@pytest.mark.parametrize("overlap", [0, 80, 300])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_character_is_in_two_splits(overlap: int, seed: int) -> None:
    project = make_project({f"{n}.txt": prose(n, 60) for n in range(3)}, size=700, overlap=overlap)
    plan = _plan(project, seed)
    sources = defaultdict(list)
    for question in plan:
        sources[question.chunk.source_sha256].append(question)
    for questions in sources.values():
        for one, other in combinations(questions, 2):
            if one.group.id != other.group.id:
                assert one.chunk.end <= other.chunk.start or other.chunk.end <= one.chunk.start
    assert {"train", "validation", "exam"} == set(_shares(plan))


def test_the_text_of_a_chunk_is_what_stands_at_its_place() -> None:
    text = prose(1, 60)
    for question in _plan(make_project({"a.txt": text}, overlap=100)):
        assert question.chunk.text == text[question.chunk.start : question.chunk.end]
        assert (
            question.group.start <= question.chunk.start < question.chunk.end <= question.group.end
        )


def test_the_shares_are_about_what_they_should_be() -> None:
    plan = _plan(make_project({f"{n}.txt": prose(n, 200) for n in range(4)}))
    shares = _shares(plan)
    assert len(plan) > 60
    assert 0.08 <= shares["exam"] <= 0.18
    assert 0.05 <= shares["validation"] <= 0.15


@pytest.mark.parametrize("sentences", [32, 40, 60])
def test_four_groups_are_enough_for_an_exam(sentences: int) -> None:
    plan = _plan(make_project({"a.txt": prose(3, sentences)}, overlap=0))
    assert len(plan) >= 4
    assert {"train", "validation", "exam"} == set(_shares(plan))


def test_three_groups_are_all_for_training() -> None:
    plan = _plan(make_project({"a.txt": prose(3, 18)}, overlap=0))
    assert 0 < len(plan) < 4
    assert set(_shares(plan)) == {"train"}


def test_the_split_stays_when_documents_come_and_the_seed_changes() -> None:
    project = make_project({"a.txt": prose(1, 60), "b.txt": prose(2, 60)})
    before = {q.chunk.key: q.group.split for q in _plan(project, seed=1)}
    for number in range(5):
        add_document(project, f"more{number}.txt", prose(100 + number, 60))
    after = {q.chunk.key: q.group.split for q in _plan(project, seed=2)}
    assert before.items() <= after.items() and len(after) > len(before)


def test_the_split_stays_when_the_chunks_change_their_size() -> None:
    project = make_project({"a.txt": prose(1, 80)})
    before = {q.group.id: q.group for q in _plan(project)}
    with connect(project.database) as db:
        db.execute("DELETE FROM sources")
    add_document(project, "a.txt", prose(1, 80), size=450, overlap=60)
    plan = _plan(project)
    assert plan
    for question in plan:
        assert before[question.group.id] == question.group
        assert (
            question.group.start <= question.chunk.start < question.chunk.end <= question.group.end
        )


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    documents = {f"{n}.txt": prose(n, 60) for n in range(3)}
    keys = [
        [q.chunk.key for q in _plan(make_project(documents, name), seed)]
        for name, seed in (("One", 4), ("Two", 4), ("Three", 5))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_any_beginning_of_the_plan_covers_all_documents_and_soon_all_splits() -> None:
    plan = _plan(make_project({f"{n}.txt": prose(n, 50 + 10 * n) for n in range(5)}))
    for length in range(1, len(plan) + 1):
        beginning = plan[:length]
        assert len({q.chunk.filename for q in beginning}) == min(length, 5)
    assert set(_shares(plan[:10])) == {"train", "validation", "exam"}


def test_a_text_that_exists_twice_is_asked_about_once() -> None:
    project = make_project({"a.txt": prose(1, 40)})
    alone = len(_plan(project))
    add_document(project, "copy.txt", prose(1, 40) + " ")
    assert len(_plan(project)) <= alone + 1


def test_the_groups_are_stored_once() -> None:
    project = make_project({"a.txt": prose(1, 40)})
    _plan(project)
    _plan(project)
    assert len(list(read(project.journal).of("split"))) == 1


CONTENTS = "\n".join(
    f"{n}.{n} Ein Kapitel mit Namen {n} ............ {n * 3}" for n in range(1, 20)
)
INDEX = "\n".join(f"Stichwort Nummer, 12, {n}, {n + 40}–{n + 42}" for n in range(1, 30))
NUMBERS = "12,5 | 17,3 | 18,0 | 44,1\n" * 30


@pytest.mark.parametrize(
    ("text", "worth"),
    [(prose(1, 8), True), ("Zu kurz.", False), (" " * 500, False), (CONTENTS, False),
     (INDEX, False), (NUMBERS, False), (prose(1, 8) + "\n" + CONTENTS[:200], True),
     ("# Kapitel 3\n\n" + prose(2, 5), True)],
)  # fmt: skip
def test_only_prose_is_worth_asking_about(text: str, worth: bool) -> None:
    assert worth_asking(text) is worth


def test_a_short_note_is_a_document_all_the_same() -> None:
    project = make_project({"note.txt": prose(5, 2)})
    assert len(prose(5, 2)) < 200
    assert len(_plan(project)) == 1


def _splits_by_sentence(plan: list[Question]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for question in plan:
        for sentence in question.chunk.text.split(". ")[1:-1]:
            found[sentence].add(question.group.split)
    return found


def test_what_stands_in_two_documents_is_in_one_split() -> None:
    # Each of the later documents repeats one of the earlier ones, cut at other places.
    documents = {f"{n}.txt": prose(n, 30) for n in range(6)}
    documents |= {f"copy{n}.txt": f"{prose(50 + n, 3)} {prose(n, 30)}" for n in range(6)}
    plan = _plan(make_project(documents, size=500, overlap=60))
    splits = _splits_by_sentence(plan)
    assert len(splits) > 100
    assert [each for each in splits.values() if len(each) > 1] == []
    assert {"train", "validation", "exam"} == set(_shares(plan))


def test_half_of_a_document_in_another_one_has_the_split_it_had() -> None:
    project = make_project({f"{n}.txt": prose(n, 12) for n in range(8)}, overlap=0)
    before = _splits_by_sentence(_plan(project))
    for number in range(8):
        half = ". ".join(prose(number, 12).split(". ")[:6])
        text = f"{half}. {prose(90 + number, 4)}"
        add_document(project, f"half{number}.txt", text, size=len(text), overlap=0)
    plan = _plan(project)
    assert sum(q.chunk.filename.startswith("half") for q in plan) == 8
    after = _splits_by_sentence(plan)
    assert [each for each in after.values() if len(each) > 1] == []
    assert {sentence: after[sentence] for sentence in before} == before
