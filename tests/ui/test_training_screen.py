"""Training & export in the browser: settings, start, curve, pause, history, export."""

import pytest

from custom_ai import demo
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner
from custom_ai.runs.run import all_runs, find
from tests.ui.conftest import OpenPage


@pytest.fixture
def project() -> Project:
    """The sample project with samples to learn from."""
    project = projects.create("Handbook")
    for task, options in (
        ("documents", requests.documents(demo.documents())),
        ("samples", requests.samples("extractive", {"count": 24})),
    ):
        run, _ = runner.start(project, task, options)
        assert runner.wait(run).state == "finished"
    return project


def test_a_training_is_started_paused_resumed_and_exported_by_mouse(
    open_page: OpenPage, project: Project
) -> None:
    page = open_page("de", project.slug, "training")
    card = page.locator("#step-training .ca-card-of-run").first
    page.get_by_label("Lernrate").first.fill("0,002")
    start = page.get_by_role("button", name="Training starten")
    start.click()
    page.locator(".validation-error", has_text="Von 0,00001 bis 0,001.").wait_for()
    assert all_runs(project)[-1].task == "samples"

    page.get_by_label("Schneller Versuch").check()
    page.get_by_label("Lernrate").first.fill("0,001")
    start.dblclick()
    page.get_by_role("button", name="Pausieren").click()
    card.locator("[data-state=paused]").wait_for()
    trainings = [run for run in all_runs(project) if run.task == "train"]
    assert len(trainings) == 1, "a double click starts one training"
    assert trainings[0].request()["options"]["learning_rate"] == 0.001

    page.get_by_role("button", name="Fortsetzen").click()
    card.locator("[data-state=finished]").wait_for(timeout=240_000)
    page.locator("#step-training ca-chart[data-live] path.trend").wait_for()
    page.locator("#step-training tr[id^=history-]").wait_for()

    page.get_by_role("button", name="Modell exportieren").click()
    page.locator(".ca-model .ca-pill.ok").wait_for(timeout=240_000)
    assert find(project).task == "export"
    assert page.locator(".ca-model > .ca-mono").inner_text().endswith(".gguf")


def test_without_samples_the_screen_says_what_to_do_first(open_page: OpenPage) -> None:
    projects.create("Empty")
    page = open_page("en", "empty", "training")
    page.get_by_text("No samples to learn from yet").wait_for()
    page.locator("#step-training").get_by_role("button", name="Documents").click()
    assert page.locator("#step-documents-button").get_attribute("aria-selected") == "true"
    page.locator("#step-training-button").click()
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("alert").wait_for()


def test_a_preset_fills_the_form(open_page: OpenPage, project: Project) -> None:
    page = open_page("en", project.slug, "training")
    page.get_by_label("Quick try").check()
    epochs = page.get_by_label("number input for Epochs")
    page.wait_for_function("element => element.value === '5'", arg=epochs.element_handle())


def test_a_check_before_the_start_measures_a_step_and_marks_what_is_learnt(
    open_page: OpenPage, project: Project
) -> None:
    page = open_page("en", project.slug, "training")
    page.get_by_role("button", name="Check first").click()
    page.locator("[data-checking]").wait_for()
    page.get_by_text("The hardest step took").wait_for(timeout=240_000)
    assert not page.locator("[data-checking]").is_visible()
    page.get_by_text("One sample; what is learnt is marked").click()
    assert page.locator(".ca-preview mark").inner_text().strip()
    assert all(run.task != "train" for run in all_runs(project))
