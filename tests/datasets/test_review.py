"""What people decide about samples is kept, wins over the checks, and is what training reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from custom_ai.datasets import checks
from custom_ai.datasets.collection import collect
from custom_ai.datasets.derive import current_samples, write_samples
from custom_ai.datasets.formats import export_samples
from custom_ai.datasets.generate import GenerateOptions, generate
from custom_ai.datasets.imports import import_samples
from custom_ai.datasets.journal import Journal, read
from custom_ai.datasets.review import Filter, Review
from custom_ai.datasets.sample import Sample, read_samples
from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.database import connect
from custom_ai.projects.lock import writing
from custom_ai.projects.project import Project
from custom_ai.runs import tasks
from tests.datasets.corpus import Watch, add_document, fill_journal, make_project, prose
from tests.providers.fault_server import KEY, FaultServer


@pytest.fixture
def project() -> Project:
    project = make_project({f"{name}.txt": prose(seed, 32) for seed, name in enumerate("abc")})
    fill_journal(project, 60)
    return project


def _ids(review: Review, filter_: Filter) -> list[str]:
    return [judged.sample.id for judged in review.page(filter_, limit=10_000).items]


def _trained(project: Project) -> dict[str, Sample]:
    """What a training would read now."""
    return {sample.id: sample for sample in read_samples(current_samples(project))}


def test_a_decision_wins_over_the_checks_and_outlives_them(project: Project) -> None:
    review = Review(project)
    good = _ids(review, Filter(status="accepted"))[0]
    bad = _ids(review, Filter(status="quarantined"))[0]
    (rejected,) = review.decide([good], "rejected")
    (accepted,) = review.decide([bad], "accepted")
    assert (rejected.status, rejected.checked) == ("rejected", "accepted")
    assert (accepted.status, accepted.checked) == ("accepted", "quarantined")
    assert accepted.sample.decided == "accepted" and accepted.sample.reviewed
    # As `samples check` does it.
    write_samples(project)
    trained = _trained(project)
    assert good not in trained and trained[bad].decided == "accepted"
    again = Review(project)
    assert again.get(good) == rejected and again.get(bad) == accepted


def test_an_edited_sample_is_checked_again_on_its_passage(project: Project) -> None:
    review = Review(project)
    id_ = _ids(review, Filter(status="accepted"))[0]
    wrong = review.edit(id_, "Wie viele waren es?", "Es waren 424242 Stück.")
    assert (wrong.status, wrong.sample.checks["numbers"]) == ("quarantined", "424242")
    assert wrong.sample.edited and wrong.sample.checks["quote"] == "exact"
    assert wrong.sample.quote_start == wrong.original.sample.quote_start
    right = review.edit(id_, "Wie viele waren es?", "Es waren viele davon.")
    assert (right.status, right.sample.checks["numbers"]) == ("accepted", "found")
    assert _trained(project)[id_].output == "Es waren viele davon."
    review.decide([id_], "accepted")
    assert review.edit(id_, "Und?" * 5, "Es waren 424242 Stück.").status == "accepted"
    assert _trained(project)[id_].checks["numbers"] == "424242"


def test_the_history_tells_every_version_and_each_can_be_restored(project: Project) -> None:
    review = Review(project)
    id_ = _ids(review, Filter(status="accepted"))[3]
    first = review.get(id_)
    review.edit(id_, "Eine andere Frage?", first.sample.output, note="klarer")
    review.decide([id_], "rejected")
    history = Review(project).history(id_)
    assert [(v.judged.sample.instruction, v.judged.status, v.note) for v in history] == [
        (first.sample.instruction, "accepted", ""),
        ("Eine andere Frage?", "accepted", "klarer"),
        ("Eine andere Frage?", "rejected", ""),
    ]
    assert history[0].time == "" and all(version.time for version in history[1:])
    assert review.restore(id_, 1) == history[1].judged
    restored = review.restore(id_)
    assert (restored.sample, restored.status) == (first.sample, first.status)
    assert not restored.sample.reviewed
    assert len(review.history(id_)) == 5
    with pytest.raises(UserError) as caught:
        review.restore(id_, 5)
    assert caught.value.code == "datasets.no_version"


def test_what_changes_nothing_is_not_written(project: Project) -> None:
    review = Review(project)
    judged = review.page(Filter(status="accepted")).items[0]
    sample = judged.sample
    before = project.journal.read_bytes()
    review.edit(sample.id, f" {sample.instruction}\n", sample.output)
    review.restore(sample.id)
    review.decide([], "accepted")
    assert project.journal.read_bytes() == before
    review.decide([sample.id, sample.id], "accepted")
    review.decide([sample.id], "accepted")
    assert len(list(read(project.journal).of("review"))) == 1


def test_a_decision_can_be_left_to_the_checks_again(project: Project) -> None:
    review = Review(project)
    id_ = _ids(review, Filter(status="quarantined"))[0]
    review.decide([id_], "accepted")
    (judged,) = review.decide([id_], None)
    assert judged.status == "quarantined" and not judged.sample.reviewed


@pytest.mark.parametrize(("question", "answer"), [("", "x"), ("x", " \n"), ("\x00", "x")])
def test_a_sample_without_question_or_answer_is_refused(
    project: Project, question: str, answer: str
) -> None:
    review = Review(project)
    id_ = review.page().items[0].sample.id
    with pytest.raises(UserError) as caught:
        review.edit(id_, question, answer)
    assert caught.value.code == "datasets.empty_sample"
    assert list(read(project.journal).of("review")) == []


def test_an_unknown_id_is_named_and_nothing_is_decided(project: Project) -> None:
    review = Review(project)
    known = review.page().items[0].sample.id
    with pytest.raises(UserError) as caught:
        review.decide([known, "nobody"], "rejected")
    assert caught.value.code == "datasets.unknown_sample"
    assert caught.value.values["id"] == "nobody"
    assert list(read(project.journal).of("review")) == []


def test_imported_samples_are_reviewed_too(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"instruction": "Wer?", "output": "Ich.", "split": "train"}\n', "utf-8")
    import_samples(project, path)
    review = Review(project)
    (id_,) = _ids(review, Filter(document="in.jsonl"))
    assert review.edit(id_, "Wer ist da?", "Ich bin es.").status == "accepted"
    # It is known by its original words, and in the words it has now.
    assert import_samples(project, path).unchanged == 1
    review.decide([id_], "rejected")
    assert import_samples(project, path).unchanged == 1
    assert id_ not in _trained(project)
    assert read(project.journal).ignored == 0
    assert review.restore(id_).sample.output == "Ich."


def test_filters_narrow_and_combine(project: Project) -> None:
    review = Review(project)
    everything = review.page(limit=1000)
    assert everything.total == len(everything.items) == 60 == sum(everything.counts.values())
    assert review.choices().documents == ["a.txt", "b.txt", "c.txt"]
    assert review.choices().kinds == ["fact", "reason", "steps"]
    for judged in everything.items[::7]:
        sample = judged.sample
        wanted = Filter(
            status=judged.status, split=sample.split, kind=sample.kind, document=sample.filename,
            text=sample.quote.upper(),
        )  # fmt: skip
        found = review.page(wanted)
        assert judged in found.items and found.total < 60
        for each in found.items:
            assert (each.status, each.sample.split, each.sample.kind, each.sample.filename) == (
                judged.status, sample.split, sample.kind, sample.filename,
            )  # fmt: skip
    assert review.page(Filter(text="kein solches Wort")).total == 0
    assert review.page(Filter(reviewed=True)).total == 0
    review.decide([everything.items[5].sample.id], "rejected")
    reviewed = review.page(Filter(reviewed=True, status="accepted"))
    assert (reviewed.total, reviewed.counts) == (0, {"rejected": 1})


def test_pages_hold_each_sample_once_in_the_wished_order(project: Project) -> None:
    review = Review(project)
    written = _ids(review, Filter())
    for wanted in (Filter(order="document"), Filter(order="length"), Filter(descending=True)):
        pages = [review.page(wanted, offset, 7).items for offset in range(0, 70, 7)]
        ids = [judged.sample.id for page in pages for judged in page]
        assert sorted(ids) == sorted(written) and ids != written
    assert ids == written[::-1]
    lengths = [
        len(j.sample.instruction + j.sample.output)
        for j in review.page(Filter(order="length", descending=True), limit=99).items
    ]
    assert lengths == sorted(lengths, reverse=True)
    by_document = review.page(Filter(order="document"), limit=99).items
    assert [j.sample.filename for j in by_document] == sorted(
        j.sample.filename for j in by_document
    )


def test_two_windows_see_each_others_decisions(project: Project) -> None:
    one, other = Review(project), Review(project)
    id_ = _ids(one, Filter(status="accepted"))[0]
    one.edit(id_, "Eine andere Frage?", "Eine andere Antwort.")
    other.decide([id_], "rejected")
    for review in (one, other):
        judged = review.get(id_)
        assert (judged.sample.instruction, judged.status) == ("Eine andere Frage?", "rejected")
    assert one.history(id_) == other.history(id_)


def test_another_journal_in_the_same_place_is_read_anew(project: Project) -> None:
    review = Review(project)
    id_ = _ids(review, Filter(status="accepted"))[0]
    copy = project.journal.read_bytes()
    review.decide([id_], "rejected")
    # Put back from a copy, in the same file; cut short; gone.
    project.journal.write_bytes(copy)
    assert review.get(id_).status == "accepted"
    project.journal.write_bytes(b"".join(copy.splitlines(True)[:4]))
    assert review.page().total == 12
    project.journal.unlink()
    assert review.page().total == 0
    with pytest.raises(UserError):
        review.decide([id_], "accepted")
    assert not project.journal.exists()


def test_a_deleted_project_does_not_come_back_by_a_review(project: Project) -> None:
    review = Review(project)
    id_ = review.page().items[0].sample.id
    project.folder.rename(project.folder.with_name("elsewhere"))
    with pytest.raises(UserError):
        review.decide([id_], "rejected")
    assert not project.folder.exists()
    assert projects.find("elsewhere")


def test_samples_of_a_removed_document_come_back_with_what_was_decided(project: Project) -> None:
    review = Review(project)
    id_ = _ids(review, Filter(document="a.txt", status="accepted"))[0]
    review.edit(id_, "Eine andere Frage?", "Eine andere Antwort.")
    with connect(project.database) as db:
        db.execute("DELETE FROM sources WHERE filename = 'a.txt'")
    assert review.choices().documents == ["b.txt", "c.txt"]
    assert id_ not in _trained(project)
    add_document(project, "a.txt", prose(0, 32))
    assert review.get(id_).sample.output == "Eine andere Antwort."
    assert _trained(project)[id_].edited


def test_training_and_export_read_what_was_decided_last(project: Project, tmp_path: Path) -> None:
    review = Review(project)
    ids = _ids(review, Filter(status="accepted"))
    before = project.samples
    assert set(_trained(project)) == set(ids)
    stamp = before.stat().st_mtime_ns, before.stat().st_ino
    assert set(_trained(project)) == set(ids)
    assert (before.stat().st_mtime_ns, before.stat().st_ino) == stamp
    review.decide(ids[:5], "rejected")
    assert set(_trained(project)) == set(ids[5:])
    review.decide(ids[5:6], "rejected")
    export_samples(project, tmp_path / "out", "jsonl")
    assert len((tmp_path / "out").read_text("utf-8").splitlines()) == len(ids) - 6
    assert review.save() == len(ids) - 6
    project.samples.unlink()
    assert set(_trained(project)) == set(ids[6:])


def test_a_training_that_starts_sees_every_decision(project: Project) -> None:
    review = Review(project)
    train = tasks.task_named("train")
    before = train.inputs(project, {})
    assert before == train.inputs(project, {})
    ids = _ids(review, Filter(status="accepted"))
    review.decide(ids, "rejected")
    after = train.inputs(project, {})
    assert after["samples"] != before["samples"]
    # The worker asks again: decisions may have come while the run waited for its turn.
    review.decide(ids[:1], "accepted")
    assert train.inputs(project, {}) != after
    review.decide(ids[:1], "rejected")
    with pytest.raises(UserError) as caught:
        tasks.train(project, {}, Watch(project.folder).step)
    assert caught.value.code == "training.no_samples"


def test_a_damaged_stamp_or_stricter_rules_make_the_samples_anew(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = current_samples(project).read_bytes()
    (stamp,) = project.samples.parent.glob("*.made-of.json")
    for text in ("", "{", "3", "{}", '{"journal": 3}', '{"journal": [1, 2, 3, 4]}'):
        stamp.write_text(text, "utf-8")
        project.samples.write_text("stale", "utf-8")
        assert current_samples(project).read_bytes() == expected
    project.samples.write_text("stale", "utf-8")
    monkeypatch.setattr(checks, "RULES", checks.RULES + 1)
    assert current_samples(project).read_bytes() == expected


def test_samples_without_a_journal_stay_as_they_are() -> None:
    project = make_project({})
    project.samples.write_text('{"instruction": "a", "output": "b"}\n', "utf-8")
    assert len(_trained(project)) == 1


def test_what_is_rejected_while_samples_are_written_is_replaced_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    project = make_project({f"{name}.txt": prose(seed, 32) for seed, name in enumerate("abc")})
    turned_down: list[str] = []

    def on_event(event: dict[str, object]) -> None:
        if event["kind"] == "sample" and len(turned_down) < 3:
            turned_down.append(str(event["id"]))
            Review(project).decide([str(event["id"])], "rejected")

    with FaultServer() as server, writing(project, "samples (run 1)"):
        values = {"count": 24, "model": "maker/model", "base_url": server.openrouter}
        step = Watch(project.folder, on_event=on_event).step
        done = generate(project, "openrouter", GenerateOptions.parse(values), step)
        assert (done.accepted, done.rejected) == (24, 3)
        written = list(read_samples(project.samples))
        assert len(written) == 24 and not {s.id for s in written} & set(turned_down)
        # Later, too: what a person took out is asked for anew.
        Review(project).decide([written[0].id], "rejected")
        step = Watch(project.folder).step
        again = generate(project, "openrouter", GenerateOptions.parse(values), step)
        assert (again.accepted, again.rejected) == (24, 4)
    assert written[0].id not in _trained(project)
    assert read(project.journal).ignored == 0


def test_ten_thousand_samples_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:02}.txt" for number in range(25)]
    project = make_project({name: prose(number, 150) for number, name in enumerate(names)})
    fill_journal(project, 10_000)
    judged = 0
    real = checks.check

    def counted(*values: Any) -> checks.Verdict:
        nonlocal judged
        judged += 1
        return real(*values)

    monkeypatch.setattr(checks, "check", counted)
    review = Review(project)
    assert (review.page().total, judged) == (10_000, 10_000)
    ids = _ids(review, Filter())
    size = project.journal.stat().st_size
    review.page(Filter(text="ba", order="length"), 5000)
    review.decide(ids, "rejected")
    assert judged == 10_000 and review.page().counts == {"rejected": 10_000}
    review.edit(ids[7], "Was ist es?", "Es ist etwas.")
    assert judged == 10_001
    assert len(project.journal.read_bytes()[size:].splitlines()) == 10_001
    assert review.save() == 0


def test_each_decision_is_a_line_that_others_can_read(project: Project) -> None:
    review = Review(project)
    id_ = _ids(review, Filter(status="accepted"))[0]
    output = review.get(id_).sample.output
    review.edit(id_, "Eine andere Frage?", output, note="klarer")
    review.decide([id_], "accepted")
    lines = [json.loads(line) for line in project.journal.read_text("utf-8").splitlines()]
    edit, decision = (
        {k: v for k, v in line.items() if k not in ("crc", "time")} for line in lines[-2:]
    )
    assert edit == {
        "type": "review", "sample": id_, "instruction": "Eine andere Frage?", "output": None,
        "note": "klarer",
    }  # fmt: skip
    assert decision == {"type": "review", "sample": id_, "status": "accepted"}
    # Two decisions about one sample both count, other than two answers to one job.
    assert len(list(Journal(project.journal).contents.of("review"))) == 2
    assert collect(project).find(id_) == review.get(id_)
