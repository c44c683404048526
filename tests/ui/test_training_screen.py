"""Training & export in the browser: settings, start, curve, pause, history, export."""

import pytest

from custom_ai import demo
from custom_ai.files import LineLog
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner, training_check
from custom_ai.runs import run as runs
from custom_ai.runs.run import all_runs, find
from custom_ai.training import engine
from custom_ai.training.config import TrainingOptions
from custom_ai.training.measure import Measured
from tests.ui.conftest import OpenPage, unfold


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


def test_one_chooses_among_the_engines_that_work_here(
    open_page: OpenPage, project: Project
) -> None:
    page = open_page("en", project.slug, "training")
    unfold(page.get_by_text("More settings").first)
    field = page.get_by_role("listbox", name="Engine").or_(page.get_by_label("Engine").first)
    field.first.click()
    offered = page.get_by_role("option").all_inner_texts()
    assert len(offered) == len(engine.usable()) and any("trl" in words for words in offered)
    assert not any("unsloth" in words for words in offered) or "unsloth" in engine.usable()
    for name in set(engine.names()) - set(engine.usable()):
        reason = engine.find(name).unavailable()
        assert reason
        page.get_by_text(reason).first.wait_for()


def test_what_needs_less_memory_is_put_into_the_form_by_a_button(
    open_page: OpenPage, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No memory was enough for a step.
    found = Measured(
        samples=12,
        validation=0,
        longest=40,
        cut=[],
        dropped=[],
        few=[],
        preview=[("Wo?", False)],
        steps=3,
    )
    monkeypatch.setattr(training_check, "measure", lambda *_: found)
    page = open_page("en", project.slug, "training")
    page.get_by_role("button", name="Check first").click()
    offer = page.locator("#offer-batch_size")
    offer.wait_for()
    assert offer.inner_text() == "Batch size: 2, Gradient accumulation: 2"
    offer.click()
    page.get_by_text("Taken into the form: Batch size: 2, Gradient accumulation: 2").wait_for()
    assert not offer.is_visible()
    assert page.get_by_label("number input for Batch size").input_value() == "2"
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("button", name="Cancel").first.wait_for()
    asked = [run.request()["options"] for run in all_runs(project) if run.task == "train"][-1]
    assert (asked["batch_size"], asked["gradient_accumulation"]) == (2, 2)


def test_ticked_trainings_stand_side_by_side_with_the_best_of_each_measure(
    open_page: OpenPage, project: Project
) -> None:
    for rate, losses in ((1e-4, [3.0, 2.0]), (5e-4, [3.0, 1.0])):
        options = TrainingOptions(learning_rate=rate).model_dump()
        run = runs.create(project, "train", options, {"samples": "abc", "base_model": "starter"})
        with LineLog(run.events, durable=False) as log:
            for step, loss in enumerate(losses, start=1):
                metric = {"kind": "metric", "step": step, "steps": 2, "loss": loss}
                log.append({**metric, "tokens_per_second": 100.0 * loss})
        run.set_state("finished")
    page = open_page("en", project.slug, "training")
    table = page.locator("#compare-best")
    row = table.get_by_role("row", name="Learning rate")
    row.wait_for()
    assert row.get_by_role("cell").all_inner_texts()[1:] == ["0.0001", "0.0005"]
    best = table.get_by_role("row", name="Last loss").locator("td", has_text="Best")
    assert best.inner_text().startswith("1")
    assert page.locator("#compare-chart path.trend").count() == 2
    page.locator("[data-compare]").first.uncheck()
    row.wait_for(state="detached")
