"""What a page shows before Gradio has drawn it: the frame and the runs at work, and they live."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from custom_ai import demo
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner
from custom_ai.runs.run import Run
from custom_ai.texts import LANGUAGES, t
from custom_ai.ui import journey
from custom_ai.ui.asgi import Receive, Scope, Send, answer
from custom_ai.ui.opening import Opening, first_view
from tests.ui.conftest import PATIENCE
from tests.ui.surviving import let_work, slowly

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

# Gradio begins with this file; without it, nothing of it is drawn.
GRADIO = "**/assets/index-*.js"
CARD = "#first [hx-get='/api/runs/card/documents']"


@pytest.fixture
def project() -> Project:
    return projects.create("Thesis")


@pytest.fixture
def run(project: Project) -> Iterator[Run]:
    """Documents being read; it is over when the test is."""
    started, _ = runner.start(project, "documents", requests.documents(demo.documents(), project))
    yield started
    runner.wait(started)


@pytest.fixture
def early(browser: "Browser", app: str) -> Iterator["Page"]:
    """A window in which Gradio never gets so far as to draw anything."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.route(GRADIO, lambda route: route.abort())
    yield page
    context.close()


def test_a_run_is_seen_and_goes_on_before_gradio_has_drawn_anything(
    early: "Page", app: str, run: Run
) -> None:
    with slowly(run) as process:
        early.goto(f"{app}/en/?project=thesis#documents")
        early.locator(f"{CARD} .ca-run").wait_for()
        assert early.locator("#steps").count() == 0
        # What it says by now is not what the page came with.
        let_work(process, 0.5)
    early.wait_for_selector("#first [data-first=documents][data-state=done]")
    early.wait_for_selector(f"{CARD} [data-state=finished]")


def test_a_run_can_be_ended_before_gradio_has_drawn_anything(
    early: "Page", app: str, run: Run
) -> None:
    early.on("dialog", lambda dialog: dialog.accept())
    with slowly(run):
        early.goto(f"{app}/en/?project=thesis#documents")
        early.locator(CARD).get_by_role("button", name="Cancel").click()
        early.wait_for_selector(f"{CARD} [data-state=pausing]")
    assert runner.wait(run).state == "cancelled"
    early.wait_for_selector(f"{CARD} [data-state=cancelled]")


def test_a_refusal_is_told_before_gradio_has_drawn_anything(
    early: "Page", app: str, run: Run
) -> None:
    with slowly(run):
        early.goto(f"{app}/en/?project=thesis#documents")
        pause = early.locator(CARD).get_by_role("button", name="Pause")
        pause.wait_for()
        early.evaluate("() => { window.fetch = () => new Promise(() => {}); }")  # hears no more
    runner.wait(run)
    pause.click()
    early.locator("#early-banner [role=alert]").wait_for()


def test_the_steps_can_be_changed_at_once_and_the_page_opens_at_the_one_that_was_chosen(
    early: "Page", app: str, run: Run
) -> None:
    with slowly(run):
        early.goto(f"{app}/en/?project=thesis#model")
        early.locator("#first-of-model").wait_for()
        assert not early.locator(CARD).is_visible()
        early.locator("#first-documents").click()
        early.locator(f"{CARD} .ca-run").wait_for()
        assert early.url.endswith("?project=thesis#documents")
        early.unroute(GRADIO)
        early.reload()
        early.wait_for_selector("body[data-ready]")
        assert early.locator("#step-documents-button").get_attribute("aria-selected") == "true"


def test_the_card_moves_to_its_place_with_what_is_open_in_it_and_the_focus(
    early: "Page", app: str, run: Run
) -> None:
    early.unroute(GRADIO)
    held: list[Route] = []
    early.route(GRADIO, lambda route: held.append(route))
    with slowly(run):
        early.goto(f"{app}/en/?project=thesis#documents", wait_until="commit")
        pause = early.locator(CARD).get_by_role("button", name="Pause")
        pause.focus()
        # A mark that only this element has; an attribute would go with the next look at the run.
        pause.evaluate("(button) => { button.marked = true; }")
        # By then it has been drawn anew.
        early.wait_for_timeout(1500)
        for route in held:
            route.continue_()
        early.wait_for_selector("body[data-ready]")
        assert early.locator("#first").count() == 0
        early.wait_for_function(
            "() => document.activeElement.matches('#step-documents .ca-run button')"
            " && document.activeElement.marked"
        )


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_comes_with_its_words_in_its_language(
    project: Project, app: str, lang: str
) -> None:
    html = _ask(f"{app}/{lang}/?project=thesis")
    assert f'documentElement.lang = "{lang}"' in html
    assert t("ui.tab_samples", lang=lang) in html
    assert t("ui.step_next", lang=lang) in html
    assert html.count("</head>") == html.count("<gradio-app") == 1


def test_the_page_asks_for_nothing_it_would_be_refused(app: str) -> None:
    assert "manifest.json" not in _ask(f"{app}/en/")


def test_without_a_project_the_page_comes_with_the_first_page(app: str) -> None:
    html = _ask(f"{app}/en/")
    assert "Turn your documents" in html
    assert 'id="first"' not in html


def test_a_project_that_cannot_be_read_does_not_keep_the_page_from_coming(
    project: Project, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Project) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(journey, "look", fail)
    html = _ask(f"{app}/en/?project=thesis")
    assert "Thesis" in html
    assert 'id="first"' not in html


def test_what_runs_is_told_in_the_language_of_the_page_and_only_what_runs(run: Run) -> None:
    with slowly(run):
        german, english = first_view("de", "thesis"), first_view("en", "thesis")
        assert t("ui.pause", lang="de") in german
        assert t("ui.pause", lang="en") in english
        assert t("ui.pause", lang="de") not in english
        assert english.count("/api/runs/card/") == 1
        assert "/api/runs/card/" not in first_view("en", "")
    runner.wait(run)
    assert "/api/runs/card/" not in first_view("en", "thesis")


@pytest.mark.parametrize("slug", ["thesis", "", "other"])
def test_a_damaged_project_does_not_keep_the_page_from_coming(project: Project, slug: str) -> None:
    projects.create("Other")
    project.config_file.write_text("{")
    view = first_view("en", slug)
    assert 'class="ca-top"' in view
    assert "is damaged" in view


def test_an_address_is_text_and_never_markup() -> None:
    assert "<script>alert" not in first_view("en", "<script>alert(1)</script>")


def test_gradio_makes_its_page_once_for_each_name_of_this_computer() -> None:
    asked: list[list[tuple[bytes, bytes]]] = []

    async def gradio(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["headers"])
        await answer(send, 200, b"<head></head><body><gradio-app></gradio-app></body>")

    def open_(host: str) -> str:
        sent = []

        async def take(message: dict[str, bytes]) -> None:
            sent.append(message.get("body", b""))

        headers = [(b"host", host.encode()), (b"cookie", b"x"), (b"x-forwarded-host", b"evil")]
        scope = {
            "type": "http", "method": "GET", "path": "/en/", "headers": headers,
            "query_string": b"",
        }  # fmt: skip
        # Playwright keeps a loop in the thread of the tests.
        with ThreadPoolExecutor() as pool:
            pool.submit(asyncio.run, opening(scope, None, take)).result()  # type: ignore[arg-type]
        return b"".join(sent).decode()

    opening = Opening(gradio, "en")
    assert open_("127.0.0.1:1") == open_("127.0.0.1:1")
    assert asked == [[(b"host", b"127.0.0.1:1")]]
    for number in range(20):
        assert '<div id="shell"' in open_(f"localhost:{number}")
    assert len(asked) == 21
    assert len(opening._empty) <= 8


def _ask(address: str) -> str:
    while True:
        try:
            with urlopen(Request(address, headers={"Accept": "text/html"})) as response:
                found: bytes = response.read()
                return found.decode("utf-8")
        except URLError as error:
            # The server is just starting.
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
