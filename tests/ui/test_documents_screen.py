"""The Documents screen in a real browser: files are dropped, read, looked into, removed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from custom_ai import settings
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from tests.providers.embedding_server import embedding_server
from tests.ui.conftest import OpenPage, unfold
from tests.ui.papers import BELL, LAMP, add, at_work, statuses

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


@pytest.fixture
def project() -> Project:
    return projects.create("Lighthouse")


def drop(page: "Page", *paths: Path) -> None:
    """Drop files and folders on the page, as from the file manager."""
    box = page.locator("#drop").bounding_box()
    assert box
    at = {"x": box["x"] + 40, "y": box["y"] + 40}
    carried: dict[str, Any] = {"items": [], "files": [str(path) for path in paths]}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        data = {**carried, "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})


def status(page: "Page", name: str, word: str) -> "Locator":
    """The sign in the row of a document, once it says this."""
    return page.locator("#documents tr", has_text=name).locator(".ca-pill", has_text=word)


def test_a_dropped_folder_is_read_and_what_cannot_be_read_is_named(
    open_page: OpenPage, project: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "papers"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "lamp.md").write_text(LAMP)
    (folder / "deep" / "deeper" / "bell.md").write_text(BELL)
    (folder / "photo.png").write_bytes(b"\x89PNG")
    (folder / ".DS_Store").write_bytes(b"x")
    page = open_page("en", project.slug, "documents")
    drop(page, folder)
    page.locator("#uploads").get_by_text("2 of 2 files taken in").wait_for()
    page.get_by_text("1 left out").click()
    page.locator(".ca-problems li").get_by_text("papers/photo.png").wait_for()
    status(page, "papers/deep/deeper/bell.md", "read").wait_for()
    assert statuses(project) == {"papers/lamp.md": "read", "papers/deep/deeper/bell.md": "read"}
    assert len(runs.all_runs(project)) == 1


def test_a_second_drop_is_read_when_the_run_at_work_is_done_even_after_a_reload(
    open_page: OpenPage, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "lamp.md").write_text(LAMP)
    run = at_work(project)
    page = open_page("en", project.slug, "documents")
    drop(page, tmp_path / "lamp.md")
    page.locator("#uploads").get_by_text("as soon as the run at work is done").wait_for()
    page.reload()
    status(page, "lamp.md", "waiting").wait_for()
    assert len(runs.all_runs(project)) == 1
    run.set_state("finished")
    status(page, "lamp.md", "read").wait_for()
    assert len(runs.all_runs(project)) == 2


def test_two_files_of_one_name_are_both_kept(open_page: OpenPage, project: Project) -> None:
    page = open_page("en", project.slug, "documents")
    chosen = [
        {"name": "report.md", "mimeType": "text/markdown", "buffer": text.encode()}
        for text in (LAMP, BELL)
    ]
    page.locator("#choose-files").set_input_files(chosen)  # type: ignore[arg-type]
    page.locator("#uploads").get_by_text("2 of 2 files taken in").wait_for()
    names = {path.name: path.read_text() for path in project.originals.iterdir()}
    assert names == {"report.md": LAMP, "report (2).md": BELL}


def test_waiting_files_are_read_by_a_click_and_their_chunks_searched_in_german(
    open_page: OpenPage, project: Project
) -> None:
    project.originals.mkdir()
    (project.originals / "glocke.md").write_text(BELL)
    (project.originals / "lampe.md").write_text(LAMP)
    page = open_page("de", project.slug, "documents")
    page.get_by_role("button", name="Dokumente lesen").click()
    status(page, "glocke.md", "gelesen").wait_for()
    page.locator("#documents tr", has_text="glocke.md").locator("[data-chunks-of]").click()
    page.locator("#chunks-list").get_by_text("Alle Dokumente zeigen").wait_for()
    assert page.locator("#chunks-list article").count() == 1
    page.get_by_label("Im Text suchen").fill("läutet")
    page.locator("#chunks-list mark", has_text="läutet").first.wait_for()


def test_search_by_meaning_is_switched_on_prepared_and_chosen(
    open_page: OpenPage, project: Project, tmp_path: Path
) -> None:
    add(project, one="Der Welpe bellt laut.", two="Das Segel wird im Hafen gesetzt. Ein Hund.")
    with embedding_server() as server:
        settings.change("ollama_url", server.url)
        page = open_page("en", project.slug, "documents")
        unfold(page.get_by_role("button", name="Search by meaning"))
        page.get_by_label("Embedding model for the search by meaning").fill("all-minilm")
        page.get_by_role("button", name="Save embedding model").click()
        page.get_by_role("button", name="Prepare search by meaning").click()
        page.locator(".ca-card-of-run .ca-pill", has_text="finished").wait_for()
        page.locator("#chunks-query").fill("dog barking")
        page.locator("#chunks-list article", has_text="Der Welpe bellt laut.").wait_for()
        page.get_by_role("radio", name="words", exact=True).check(force=True)
        page.get_by_text("Nothing found").wait_for()
        page.locator("#chunks-query").fill("Segel")
        page.locator("#chunks-list mark", has_text="Segel").first.wait_for()
        assert page.get_by_role("radio", name="words", exact=True).is_checked()
    assert project.config.embedding_model == "all-minilm"


def test_a_form_of_one_field_keeps_what_it_showed(open_page: OpenPage, project: Project) -> None:
    project.change(embedding_model="all-minilm")
    page = open_page("en", project.slug, "documents")
    unfold(page.get_by_role("button", name="Search by meaning"))
    page.get_by_role("button", name="Save embedding model").click()
    page.get_by_text("Embedding model saved").first.wait_for()
    assert project.config.embedding_model == "all-minilm"


def test_a_removed_document_is_gone_after_the_question(
    open_page: OpenPage, project: Project
) -> None:
    add(project, lamp=LAMP, bell=BELL)
    page = open_page("en", project.slug, "documents")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove bell.md").click()
    page.locator("#documents tr", has_text="bell.md").wait_for(state="detached")
    assert statuses(project) == {"lamp.md": "read"}


def test_a_reload_in_the_middle_of_an_upload_says_that_files_are_missing(
    open_page: OpenPage, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "lamp.md").write_text(LAMP)
    page = open_page("en", project.slug, "documents")
    page.route("**/api/documents/upload*", lambda route: None)  # it never arrives
    page.on("dialog", lambda dialog: dialog.accept())
    drop(page, tmp_path / "lamp.md")
    page.locator("#uploads").get_by_text("0 of 1").wait_for()
    page.reload()
    page.locator("#uploads").get_by_text("Interrupted: 0 of 1 files were taken in.").wait_for()
    assert statuses(project) == {}


def test_the_chosen_format_is_exported_and_stays_chosen(
    open_page: OpenPage, project: Project
) -> None:
    add(project, lamp=LAMP)
    page = open_page("de", project.slug, "documents")
    page.get_by_label("Format").select_option("jsonl")
    page.get_by_role("button", name="Exportieren").click()
    page.locator(".ca-export").get_by_text("auf dem neuesten Stand").wait_for()
    assert page.locator(".ca-export .ca-mono").inner_text().endswith("rag_export.jsonl")
    add(project, bell=BELL)
    page.locator(".ca-export").get_by_text("haben sich seitdem geändert").wait_for()
    assert page.locator(".ca-export .ca-mono").inner_text().endswith("rag_export.jsonl")
    page.get_by_label("Format").select_option("langchain")
    page.locator(".ca-export .ca-mono").wait_for(state="detached")
    page.get_by_role("button", name="Exportieren").click()
    page.get_by_text("hat noch keine Vektoren").wait_for()
