"""The exam: what it would ask, how it is started, and the reports that were made."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from custom_ai.evaluation import exam
from custom_ai.evaluation.exam import Candidate, ExamOptions
from custom_ai.files import read_json, write_json
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.runs.run import Run
from custom_ai.step import Step
from custom_ai.ui.routes import exam as routes
from tests.ui.asking import Window, serving
from tests.ui.trained import FACTS, Models, finished, make_models, make_project

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    folder = tmp_path_factory.mktemp("models")
    yield make_models(folder)
    shutil.rmtree(folder)


@pytest.fixture
def project(models: Models) -> Project:
    return make_project(models)


@pytest.fixture
def window(project: Project) -> Iterator[Window]:
    with serving(routes.router) as port:
        yield Window(port, project=project.slug, language="en")


def test_it_says_what_an_exam_would_ask(window: Window) -> None:
    shown = window.get("/api/exam/ready").text
    assert "Training 1 would be examined, with up to 2 trained and 2 held-out questions." in shown


def test_an_untrained_project_is_sent_to_the_training() -> None:
    with serving(routes.router) as port:
        window = Window(port, project=projects.create("Fresh").slug, language="en")
        assert 'data-go="training"' in window.get("/api/exam/ready").text
        assert "No exam was held yet" in window.get("/api/exam/report").text


def test_the_report_says_before_and_after(window: Window, project: Project, models: Models) -> None:
    _hold(project, models.base, models.taught)
    shown = re.sub(r"[ \n]+", " ", window.get("/api/exam/report").text)
    for part in ("Trained questions", "Held-out questions"):
        verdict = shown.split(f">{part} ")[1].split("</section>")[0]
        assert "before <b>0\u202f%</b>" in verdict and "after <b>100\u202f%</b>" in verdict
        assert "100\u202f%, between 100\u202f% and 100\u202f% with 95 % confidence" in verdict


def test_answers_are_filtered_by_what_the_training_changed(
    window: Window, project: Project, models: Models
) -> None:
    _hold(project, models.base, models.taught)
    assert _counts(window) == {"all": 4, "gained": 4, "lost": 0, "wrong": 0}
    _hold(project, models.taught, models.base)
    assert _counts(window) == {"all": 4, "gained": 0, "lost": 4, "wrong": 0}
    _hold(project, models.base, models.base)
    assert _counts(window) == {"all": 4, "gained": 0, "lost": 0, "wrong": 4}


def test_earlier_exams_can_be_looked_at_and_saved(
    window: Window, project: Project, models: Models
) -> None:
    first = _hold(project, models.base, models.taught)
    newest = _hold(project, models.base, models.base)
    assert f"report.md?project={project.slug}" in window.get("/api/exam/report").text
    shown = {n: window.get(f"/api/exam/report?run={n}").text for n in ("", first.number)}
    assert f"/api/exam/{newest.number}/report.md" in shown[""]
    assert f"/api/exam/{first.number}/report.md" in shown[first.number]
    saved = window.get(f"/api/exam/{first.number}/report.md")
    assert saved.text == (first.folder / "report.md").read_text(encoding="utf-8")
    assert "attachment" in saved.headers["content-disposition"]


def test_a_report_that_is_not_there_is_refused(window: Window, project: Project) -> None:
    running = runs.create(project, "evaluate", {"train_run": 1}, {})
    for number in (1, running.number, 99):
        refused = window.get(f"/api/exam/{number}/report.md")
        assert refused.status == 422 and "no longer there" in refused.text
    assert "No exam was held yet" in window.get("/api/exam/report").text


def test_many_answers_come_page_by_page(window: Window, project: Project, models: Models) -> None:
    run = _hold(project, models.base, models.taught)
    report = read_json(run.folder / "report.json")
    first = report["questions"][0]
    report["questions"] = [{**first, "id": str(n), "text": f"Question {n}?"} for n in range(45)]
    write_json(run.folder / "report.json", report)
    pages = [window.get(f"/api/exam/report?page={page}").text for page in (1, 2, 3, 9)]
    assert [page.count("<tr>") - 1 for page in pages] == [20, 20, 5, 5]
    assert "Question 44?" in pages[2] and "Page 3 of 3" in pages[3]


def test_hostile_questions_and_answers_are_text(
    window: Window, project: Project, models: Models
) -> None:
    _hold(project, models.base, models.taught)
    shown = window.get("/api/exam/report").text
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown and "<img" not in shown


def test_an_exam_is_held_by_clicking(open_page: OpenPage, project: Project) -> None:
    page = open_page("en", project.slug, "chat")
    page.get_by_label("Number of questions").fill("0")
    page.click("#start-exam")
    page.locator("#step-chat").get_by_text("From 1 to 10000.").wait_for()
    assert [run for run in runs.all_runs(project) if run.task == "evaluate"] == []
    page.get_by_label("Number of questions").fill("1")
    page.click("#start-exam")
    page.locator(".ca-exam tbody tr").nth(1).wait_for(timeout=180_000)
    (run,) = [run for run in runs.all_runs(project) if run.task == "evaluate"]
    assert run.state == "finished" and run.request()["options"]["limit"] == 1
    assert page.locator(".ca-exam tbody tr").count() == 2
    page.locator("label", has=page.locator("[value=gained]")).click()
    page.get_by_text("No question of this kind.").wait_for()
    with page.expect_download() as download:
        page.get_by_text("Save report").click()
    assert Path(download.value.path()).read_bytes() == (run.folder / "report.md").read_bytes()
    assert page.evaluate("window.hacked") is None


def _hold(project: Project, base: Path, tuned: Path) -> Run:
    """A finished exam of two models, with its real report."""
    run = finished(project, "evaluate", {"train_run": 1}, {})
    step = Step(run.folder, lambda event: None, lambda: None)
    candidates = [Candidate("base", str(base), None), Candidate("tuned", str(tuned), None)]
    asked = exam.questions(project.samples, 10)
    exam.hold(candidates, asked, ExamOptions(max_tokens=64), step)
    return run


def _counts(window: Window) -> dict[str, int]:
    """How many answers each filter shows."""
    names = ("all", "gained", "lost", "wrong")
    shown = {name: window.get(f"/api/exam/report?show={name}").text for name in names}
    asked = [fact["instruction"] for fact in FACTS]
    return {name: sum(question in text for question in asked) for name, text in shown.items()}
