"""The Training data screen: another model judges the samples; what leaks from the exam is shown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from custom_ai import secrets, settings
from custom_ai.datasets.collection import collect
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.datasets.leakage import leakage
from custom_ai.datasets.review import Review
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner
from custom_ai.runs import run as runs
from custom_ai.texts import in_language
from custom_ai.ui.routes import coverage, judge, prompts, review
from tests.providers.fault_server import GOOD, KEY, FaultServer, openrouter_model
from tests.ui.asking import Window, serving
from tests.ui.conftest import OpenPage, unfold
from tests.ui.samples_of import import_rows, project_with_samples, statuses

BAD = {"supported": 2, "answers": 5, "clear": 4, "reason": "<b>Nothing</b> of it is there."}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_with_samples(tmp_path, count=24)


@pytest.fixture
def window(project: Project) -> Iterator[Window]:
    with serving(review.router, judge.router, coverage.router, prompts.router) as port:
        yield Window(port, project=project.slug, language="en")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """OpenRouter, with a judge that doubts the first sample of each passage."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    with FaultServer() as found:
        found.models = [openrouter_model("maker/judge", "0.0000001", "0.0000002")]
        found.verdict = lambda row: BAD if row["number"] == 1 else GOOD
        settings.change("openrouter_url", found.openrouter)
        yield found


def have_judged(project: Project) -> dict[str, Any]:
    options = requests.judging("openrouter", {"model": "maker/judge"})
    run, _ = runner.start(project, "judge", options)
    runner.wait(run)
    assert run.state == "finished", run.error()
    return run.result() or {}


def test_samples_are_judged_by_clicking_and_the_table_shows_it(
    open_page: OpenPage, project: Project, server: FaultServer
) -> None:
    page = open_page("en", project.slug, "samples")
    unfold(page.locator("#judge > button"))
    page.get_by_role("button", name="Judge samples").click()
    page.get_by_role("alert").get_by_text("Choose first who judges.").wait_for()
    assert runs.all_runs(project) == []
    page.get_by_label("Who judges").click()
    page.get_by_role("option", name="OpenRouter").click()
    page.get_by_label(JudgeOptions.label("deny_data_collection")).wait_for()
    page.locator("#judge-models").click()
    shown = page.locator("#judge-listed .ca-models tbody tr")
    shown.wait_for()
    assert "0.1 $" in shown.inner_text()
    page.locator("#judge-listed [data-pick='maker/judge']").click()
    shown.wait_for(state="detached")
    assert page.locator("#judge-model input").input_value() == "maker/judge"
    assert page.evaluate("document.activeElement.id") == "judge-models"
    page.locator("#preview-judge").click()
    page.locator("#judge-said").get_by_text("The whole request as JSON").click()
    page.locator("#judge-said pre", has_text='"model": "maker/judge"').wait_for()
    page.locator("#estimate-judge").click()
    page.locator("#judge-said").get_by_text("Samples to judge").wait_for()
    assert server.total == 0
    page.get_by_role("button", name="Judge samples").click()
    page.locator(".ca-run .ca-pill", has_text="finished").wait_for()
    doubted = list(statuses(project).values()).count("quarantined")
    (run,) = runs.all_runs(project)
    assert (run.result() or {})["doubted"] > 0
    marks = page.locator("select[data-filter=judged]")
    marks.wait_for()
    marks.select_option("2")
    page.locator(".rv-row", has_text="Mark 2").first.wait_for()
    page.locator(".rv-detail").get_by_text("Supported by the passage").wait_for()
    page.locator(".rv-detail").get_by_text("<b>Nothing</b> of it is there.").first.wait_for()
    assert doubted >= (run.result() or {})["doubted"]
    # Another least mark applies at once.
    asked = server.total
    unfold(page.locator("#rules > button"))
    page.locator("#rules").get_by_label("Least score of the judge").first.fill("1")
    page.locator("#save-rules").click()
    page.locator("#rules-said").get_by_text("Checked again").wait_for()
    assert list(statuses(project).values()).count("quarantined") < doubted
    assert server.total == asked


def test_nothing_is_sent_before_people_agreed(
    open_page: OpenPage, project: Project, server: FaultServer
) -> None:
    secrets.save("openrouter", KEY)
    settings.change("openrouter_url", "https://openrouter.invalid/api/v1")
    page = open_page("de", project.slug, "samples")
    unfold(page.locator("#judge > button"))
    page.get_by_label("Wer urteilt").click()
    page.get_by_role("option", name="OpenRouter").click()
    with in_language("de"):
        page.get_by_label(JudgeOptions.label("deny_data_collection")).wait_for()
    box = page.locator("#judge-model input")
    box.fill("maker/judge")
    box.press("Enter")
    page.get_by_role("button", name="Beispiele beurteilen").click()
    asked = page.locator("#judge-said").get_by_role("button", name="Ich stimme zu")
    asked.wait_for()
    assert runs.all_runs(project) == []
    asked.click()
    page.locator("#judge-said").get_by_role("button", name="Zurücknehmen").wait_for()
    assert project.config.consents["openrouter.invalid"]["provider"] == "openrouter"


def test_counters_filter_marks_and_verdict_tell_what_the_judge_said(
    window: Window, project: Project, server: FaultServer
) -> None:
    assert window.get("/api/judge/counters").text == ""
    assert json.loads(window.get("/api/review/choices").text)["judged"] == []
    done = have_judged(project)
    counters = window.get("/api/judge/counters").text
    assert f">{done['judged']}<" in counters and f">{done['doubted']}<" in counters
    choices = dict(json.loads(window.get("/api/review/choices").text)["judged"])
    assert choices["2"] == "Lowest mark 2 or less" and choices["stale"]
    found = json.loads(window.get("/api/review?judged=2&order=score").text)
    assert (found["total"], found["scored"]) == (done["doubted"], done["judged"])
    assert {row["score"] for row in found["rows"]} == {"Mark 2"}
    id_ = found["rows"][0]["id"]
    detail = window.get(f"/api/review/sample/{id_}").text
    assert "2 of 5" in detail and "maker/judge" in detail
    assert "&lt;b&gt;Nothing" in detail and "<b>Nothing" not in detail
    assert "The judge doubts it" in detail
    sample = Review(project).get(id_).sample
    body = {"instruction": f"Please: {sample.instruction}", "output": sample.output}
    said = window.send(
        "POST", f"/api/review/sample/{id_}/words", json.dumps(body).encode(),
        {"content-type": "application/json"},
    )  # fmt: skip
    assert json.loads(said.text)["row"]["score"] == "Mark 2, edited since"
    assert "no longer counts" in window.get(f"/api/review/sample/{id_}").text
    assert json.loads(window.get("/api/review?judged=stale").text)["total"] == 1


def test_the_words_for_a_judge_are_changed_as_others_are(window: Window, project: Project) -> None:
    shown = window.get("/api/prompts?of=en").text
    assert "What a judge is told first" in shown and "{samples}" in shown
    wrong = window.post("/api/prompts/en.judge_user", text="{chunk} {earlier}")
    assert "Unknown: {earlier}" in wrong.text
    window.post("/api/prompts/en.judge_user", text="{chunk} {samples}")
    assert project.config.prompts == {"en.judge_user": "{chunk} {samples}"}
    window.post("/api/prompts/en.judge_user/reset")
    assert project.config.prompts == {}


@pytest.mark.parametrize(
    ("language", "clean", "leaks"),
    [
        ("en", "None of the", "stand in the training"),
        ("de", "Keines der", "stehen im Training"),
    ],
)
def test_what_gives_the_exam_away_is_shown_beside_the_coverage(
    project: Project, tmp_path: Path, language: str, clean: str, leaks: str
) -> None:
    with serving(coverage.router) as port:
        window = Window(port, project=project.slug, language=language)
        before = leakage(collect(project).of("accepted"))
        answer = "The lamp on the <i>north</i> tower burns from dusk until the last ship is in."
        rows = [
            {"instruction": "How long does the lamp burn?", "output": answer, "split": "train"},
            {"instruction": "When does it stop?", "output": answer, "split": "exam"},
        ]
        said = window.get("/api/coverage")
        assert said.status == 200
        if before.held_out and not before.leaks:
            assert clean in said.text
        import_rows(project, tmp_path / "more.jsonl", *rows)
        said = window.get("/api/coverage")
        assert leaks in said.text
        assert "When does it stop?" in said.text and "How long does the lamp burn?" in said.text
        assert "<i>north" not in said.text
