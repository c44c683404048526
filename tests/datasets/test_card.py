"""The card beside an export says who wrote the samples, how, at what cost, and what was left
out."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from custom_ai import secrets, settings
from custom_ai.datasets.formats import export_samples
from custom_ai.datasets.generate import GenerateOptions, generate
from custom_ai.datasets.imports import import_samples
from custom_ai.datasets.review import Filter, Review
from custom_ai.projects.project import Project
from custom_ai.texts import use_language
from tests.datasets.corpus import Watch, fill_journal, make_project, prose
from tests.providers.fault_server import KEY, FaultServer


@pytest.fixture
def project() -> Project:
    project = make_project({f"{name}.txt": prose(seed, 32) for seed, name in enumerate("abc")})
    fill_journal(project, 60)
    return project


def _card(project: Project, path: Path) -> dict[str, Any]:
    export_samples(project, path, "jsonl")
    card: dict[str, Any] = json.loads(path.with_name(f"{path.name}.card.json").read_text("utf-8"))
    return card


def test_counts_at_every_filter_add_up(project: Project, tmp_path: Path) -> None:
    review = Review(project)
    good = [j.sample.id for j in review.page(Filter(status="accepted"), limit=100).items]
    bad = [j.sample.id for j in review.page(Filter(status="quarantined"), limit=100).items]
    review.decide(good[:2], "rejected")
    review.decide(bad[:1], "accepted")
    review.edit(good[3], "Was gilt hier denn nun?", review.get(good[3]).sample.output)
    filters = _card(project, tmp_path / "out.jsonl")["filters"]
    checks = ("rejected_by_checks", "quarantined_by_checks", "accepted_by_checks")
    assert filters["asked_for"] == filters["written"] == sum(filters[name] for name in checks) == 60
    assert filters["quarantined_because"]["numbers"] == filters["quarantined_by_checks"] == len(bad)
    assert (filters["accepted_by_people"], filters["rejected_by_people"]) == (1, 2)
    assert filters["edited_by_people"] == 1
    assert filters["accepted"] == filters["exported"] == len(good) - 2 + 1


def test_models_cost_and_checksum_are_those_of_the_journal_and_the_file(
    project: Project, tmp_path: Path
) -> None:
    card = _card(project, tmp_path / "out.jsonl")
    (source,) = card["sources"]
    assert (source["provider"], source["model"]) == ("openrouter", "maker/model")
    assert (source["requests"], source["cost_usd"]) == (15, "0.0015")
    assert source["first"] == source["last"] == "2026-01-01T00:00:00+00:00"
    assert card["sha256"] == hashlib.sha256((tmp_path / "out.jsonl").read_bytes()).hexdigest()
    assert sum(card["splits"].values()) == card["samples"]
    assert card["documents"] == 3


def test_the_same_samples_give_the_same_card(project: Project, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        _card(project, tmp_path / folder / "out.jsonl")
    for name in ("out.jsonl.card.json", "out.jsonl.card.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Training data of Test"), ("de", "Trainingsdaten von Test")]
)
def test_the_readable_card_speaks_the_users_language(
    project: Project, tmp_path: Path, language: str, words: str
) -> None:
    use_language(language)
    card = _card(project, tmp_path / "out.jsonl")
    text = (tmp_path / "out.jsonl.card.md").read_text("utf-8")
    assert text.startswith(f"# {words}")
    for said in (card["sha256"], "maker/model", "0.0015"):
        assert said in text
    assert "datasets." not in text


def test_what_names_hold_is_text_in_the_readable_card(tmp_path: Path) -> None:
    project = make_project({}, name="A_b")
    path = tmp_path / "x [link](http:evil) <b>.jsonl"
    path.write_text('{"question": "Who is it now?", "answer": "It is Anna."}')
    import_samples(project, path)
    card = _card(project, tmp_path / "out.jsonl")
    text = (tmp_path / "out.jsonl.card.md").read_text("utf-8")
    assert "<b>" not in text and "[link]" not in text
    assert card["licence"]["models"] == {path.name: "imported"}


def test_prompts_seed_and_licence_come_from_the_run_and_no_key_does(tmp_path: Path) -> None:
    project = make_project({"a.txt": prose(0, 32)})
    secrets.save("openrouter", KEY)
    with FaultServer() as server:
        settings.change("openrouter_url", server.openrouter)
        options = GenerateOptions(count=4, model="maker/model", seed=7)
        generate(project, "openrouter", options, Watch(tmp_path).step)
    card = _card(project, tmp_path / "out.jsonl")
    (source,) = card["sources"]
    assert source["seeds"] == [7]
    assert source["prompt_versions"] == list(card["prompts"])
    assert "{chunk}" in card["prompts"][source["prompt_versions"][0]]["de.user"]
    assert card["licence"] == {
        "documents": "unknown", "models": {"openrouter maker/model": "distillable"},
    }  # fmt: skip
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


@pytest.mark.parametrize(("format_", "inner"), [("huggingface", "train/state.json"), ("csv", "")])
def test_a_folder_has_the_checksum_of_each_of_its_files(
    project: Project, tmp_path: Path, format_: Any, inner: str
) -> None:
    export_samples(project, tmp_path / "out", format_)
    card = json.loads((tmp_path / "out.card.json").read_text("utf-8"))
    found = card["sha256"][inner] if inner else card["sha256"]
    assert found == hashlib.sha256((tmp_path / "out" / inner).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "no model wrote them"), ("de", "kein Modell hat sie geschrieben")],
)
def test_samples_that_no_model_wrote_have_no_model_and_no_licence_of_one(
    tmp_path: Path, language: str, words: str
) -> None:
    use_language(language)
    project = make_project({f"{name}.txt": prose(seed, 32) for seed, name in enumerate("abc")})
    watch = Watch(tmp_path)
    generate(project, "extractive", GenerateOptions(count=6, budget=0), watch.step)
    card = _card(project, tmp_path / "out.jsonl")
    (source,) = card["sources"]
    assert (source["dataset"], source["model"], source["answered_by"]) == ("extractive", "", [])
    assert card["licence"]["models"] == {"extractive": "no_model"}
    text = (tmp_path / "out.jsonl.card.md").read_text("utf-8")
    assert words in text
    assert "extractive extractive" not in text
