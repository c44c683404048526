"""The frame of the app: projects, language, appearance, navigation; on the real page."""

from pathlib import Path

import pytest

from custom_ai.projects import project as projects
from custom_ai.texts import LANGUAGES
from custom_ai.ui import warming
from tests.ui.conftest import OpenPage


def test_without_a_project_the_page_says_what_this_is_and_makes_the_first_one(
    open_page: OpenPage,
) -> None:
    page = open_page("de")
    page.get_by_role("heading", name="Aus den eigenen Dokumenten").wait_for()
    page.get_by_label("Name des Projekts").fill("Mietrecht für Anfänger")
    page.get_by_role("button", name="Projekt anlegen").click()
    page.wait_for_url("**/de/?project=*")
    page.get_by_role("tab", name="Dokumente").wait_for()
    assert [p.config.name for p in projects.find_all()] == ["Mietrecht für Anfänger"]


def test_a_name_that_cannot_be_is_refused_in_words_and_nothing_is_made(
    open_page: OpenPage,
) -> None:
    page = open_page("en")
    page.get_by_label("Name of the project").fill("../../etc")
    page.get_by_role("button", name="Create project").click()
    page.get_by_role("alert").wait_for()
    assert "../../etc" in page.get_by_role("alert").inner_text()
    assert projects.find_all() == []


def test_without_a_project_no_step_asks_for_anything_even_before_the_style_sheet_is_there(
    open_page: OpenPage,
) -> None:
    page = open_page("en")
    told: list[tuple[int, str]] = []
    page.route("**/static/*.css", lambda route: route.abort())
    page.on("response", lambda answer: told.append((answer.status, answer.url)))
    page.reload()
    page.wait_for_selector("body[data-ready]")
    page.get_by_role("heading", name="Turn your documents").wait_for()
    assert told and [url for status, url in told if status == 422] == []


def test_a_project_is_renamed_duplicated_archived_and_deleted_from_the_menu(
    open_page: OpenPage,
) -> None:
    projects.create("Thesis")
    page = open_page("en", "thesis")
    menu = page.locator(".ca-switcher summary")

    menu.click()
    page.get_by_role("button", name="Rename …").click()
    page.get_by_label("Name of the project").fill("Master's thesis")
    assert page.locator("dialog[open]").count() == 1
    page.get_by_role("button", name="Rename", exact=True).click()
    # An apostrophe can't be in a name: the dialog says so and stays.
    page.locator("dialog .ca-dialog-error [role=alert]").wait_for()
    page.get_by_label("Name of the project").fill("Master thesis")
    page.get_by_role("button", name="Rename", exact=True).click()
    page.wait_for_url("**project=master-thesis*")

    page.wait_for_selector("body[data-ready]")
    menu.click()
    page.get_by_role("button", name="Duplicate …").click()
    page.get_by_role("button", name="Duplicate", exact=True).click()
    page.wait_for_url("**project=master-thesis-copy*")

    page.wait_for_selector("body[data-ready]")
    menu.click()
    page.get_by_role("button", name="Archive as ZIP …").click()
    page.get_by_role("button", name="Pack").click()
    page.get_by_role("heading", name="Packed").wait_for()
    archive = Path(page.locator("dialog .ca-mono").inner_text())
    assert archive.exists()
    page.get_by_role("button", name="Done").click()

    menu.click()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete for good").click()
    page.get_by_role("heading", name="Turn your documents").wait_for()
    assert [p.slug for p in projects.find_all()] == ["master-thesis"]

    page.get_by_role("button", name="Open an archive …").first.click()
    page.get_by_label("ZIP file").set_input_files(archive)
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_url("**project=master-thesis-copy*")
    assert len(projects.find_all()) == 2


def test_the_language_changes_the_whole_page_and_is_remembered(
    open_page: OpenPage, app: str
) -> None:
    projects.create("Thesis")
    page = open_page("en", "thesis", "training")
    page.get_by_role("button", name="DE", exact=True).click()
    page.wait_for_url("**/de/?project=thesis#training")
    page.get_by_role("tab", name="Trainingsdaten").wait_for()
    assert page.evaluate("document.documentElement.lang") == "de"
    page.goto(f"{app}/")
    page.wait_for_url("**/de/?project=thesis*")


def test_the_appearance_follows_the_system_until_one_is_chosen(open_page: OpenPage) -> None:
    projects.create("Thesis")
    page = open_page("en", "thesis", color_scheme="dark")
    assert page.evaluate("document.body.classList.contains('dark')")
    page.get_by_role("button", name="Light").click()
    assert not page.evaluate("document.body.classList.contains('dark')")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert not page.evaluate("document.body.classList.contains('dark')")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_reload_comes_back_to_the_same_project_and_step(open_page: OpenPage, lang: str) -> None:
    projects.create("Thesis")
    page = open_page(lang, "thesis")
    page.locator("#step-training-button").click()
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert page.locator("#step-training-button").get_attribute("aria-selected") == "true"
    assert "project=thesis#training" in page.url


def test_a_project_that_is_gone_leads_to_the_first_page(open_page: OpenPage, app: str) -> None:
    page = open_page("en")
    page.goto(f"{app}/en/?project=never-was")
    page.get_by_role("heading", name="Turn your documents").wait_for()


def test_the_files_the_page_loads_are_those_that_are_fetched_while_the_app_starts(
    open_page: OpenPage,
) -> None:
    projects.create("Thesis")
    page = open_page("en", "thesis")
    asked = page.evaluate("performance.getEntriesByType('resource').map(r => r.name)")
    of_gradio = {url.partition("/en/assets/")[2] for url in asked} - {""}
    assert of_gradio
    # After an update of Gradio: python -m scripts.page_files
    assert of_gradio <= warming.gradio_files()
    for path in warming.paths("en"):
        assert warming.find(path), path


@pytest.mark.parametrize(
    "path", ["/static/../guard.py", "/en/assets/../index.html", "/static/page_files.txt", "/x"]
)
def test_nothing_else_is_given_out_before_the_app_is_loaded(path: str) -> None:
    assert warming.find(path) is None
