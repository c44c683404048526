"""Training data: the way to a key, what is left of the account, and the models to choose from."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from custom_ai import secrets, settings
from custom_ai.projects.project import Project
from custom_ai.providers.openrouter_login import Callback
from custom_ai.ui import signing_in
from custom_ai.ui.routes import provider, sign_in
from tests.providers.fault_server import KEY, FaultServer, openrouter_model
from tests.ui.asking import Window, serving
from tests.ui.conftest import OpenPage
from tests.ui.samples_of import project_with_documents

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_with_documents(tmp_path)


@pytest.fixture
def window(project: Project) -> Iterator[Window]:
    with serving(provider.router, sign_in.router) as port:
        yield Window(port, project=project.slug, language="en")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """OpenRouter, and a machine without keyring and without a key."""
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    monkeypatch.setattr(secrets, "KEYRING_SECONDS", 0.0)
    with FaultServer() as found:
        found.models = [
            openrouter_model("maker/small:free", "0", "0"),
            openrouter_model("maker/large", "0.000002", "0.000008"),
            openrouter_model("other/cheap", "0.0000001", "0.0000004"),
            openrouter_model("<img src=x onerror=window.hacked=1>", "0.000001", "0.000001"),
        ]
        settings.change("openrouter_url", found.openrouter)
        yield found
    if attempt := signing_in.current():
        attempt.stop()


def choose(page: "Page", name: str) -> None:
    page.get_by_label("Who writes them").click()
    page.get_by_role("option", name=name).click()


def come_back(query: str) -> int:
    """What a browser does after OpenRouter's page."""
    attempt = signing_in.current()
    assert attempt is not None
    page = parse_qs(urlsplit(attempt.page).query)
    address = page["callback_url"][0].replace("localhost", "127.0.0.1")
    try:
        with urllib.request.urlopen(f"{address}?{query}", timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_people_sign_in_with_openrouter_and_see_what_their_account_has_left(
    open_page: OpenPage, project: Project, server: FaultServer
) -> None:
    page = open_page("en", project.slug, "samples")
    choose(page, "OpenRouter")
    button = page.get_by_role("button", name="Sign in with OpenRouter")
    button.wait_for()
    assert page.get_by_role("link", name="Get a key").get_attribute("href") is not None
    with page.expect_popup() as opened:
        button.click()
    assert "/auth?callback_url=" in opened.value.url and "code_challenge=" in opened.value.url
    page.get_by_text("Waiting for you to agree").wait_for()
    assert come_back("code=good") == 200
    page.locator(".ca-provider").get_by_text(f"••••{KEY[-4:]}").wait_for()
    page.locator(".ca-account").get_by_text("Free requests left today: 42 of 50").wait_for()
    kept = secrets.find("openrouter")
    assert kept is not None and kept.reveal() == KEY
    assert KEY not in page.content()


def test_a_refused_sign_in_is_said_and_can_be_begun_again(
    open_page: OpenPage, project: Project, server: FaultServer
) -> None:
    page = open_page("en", project.slug, "samples")
    choose(page, "OpenRouter")
    begin = page.get_by_role("button", name="Sign in with OpenRouter")
    begin.click()
    page.get_by_text("Waiting for you to agree").wait_for()
    assert come_back("error=access_denied") == 404
    page.get_by_text("came back without a key: access_denied").wait_for()
    begin.click()
    page.get_by_text("Waiting for you to agree").wait_for()
    assert come_back("code=bad") == 200
    page.get_by_text("OpenRouter gave no key for this code").wait_for()
    begin.click()
    page.locator(".ca-sign-in").get_by_role("button", name="Cancel").click()
    begin.wait_for()
    assert page.locator(".ca-sign-in [role=alert]").count() == 0
    # Where the browser can't come back, the code is pasted; a wrong one leaves the way open.
    begin.click()
    page.get_by_text("The browser is on another computer").click()
    page.get_by_label("Code", exact=True).fill("bad")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_text("OpenRouter gave no key for this code").wait_for()
    page.get_by_label("Code", exact=True).fill("good")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.locator(".ca-provider").get_by_text(f"••••{KEY[-4:]}").wait_for()


def test_a_sign_in_that_nobody_finishes_ends_and_a_new_one_stops_the_old(
    window: Window, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert window.send("POST", "/api/sign-in", b"").status == 200
    first = signing_in.current()
    assert window.get("/api/sign-in").status == 204
    window.send("POST", "/api/sign-in", b"")
    assert first is not None and first.over and signing_in.current() is not first
    second = signing_in.current()
    assert second is not None
    window.send("POST", "/api/sign-in/stop", b"")
    wait = Callback.wait
    monkeypatch.setattr(Callback, "wait", lambda callback: wait(callback, 0.1))
    window.send("POST", "/api/sign-in", b"")
    for _ in range(100):
        answer = window.get("/api/sign-in")
        if answer.status == 200:
            break
        time.sleep(0.1)
    assert "Nobody came back from OpenRouter" in answer.text
    assert secrets.find("openrouter") is None
    assert threading.active_count() < 30


def test_a_pasted_key_is_kept_and_never_repeated(window: Window, server: FaultServer) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    path = "/api/samples/provider/openrouter/key"
    wrong = window.send("POST", path, b"key=" + b"two%20" + KEY.encode(), form)
    assert wrong.status == 422 and KEY not in wrong.text
    assert window.send("POST", "/api/samples/provider/extractive/key", b"key=x", form).status == 422
    assert window.send("POST", path, b"key=" + KEY.encode(), form).status == 204
    kept = secrets.find("openrouter")
    assert kept is not None and kept.reveal() == KEY


def test_an_account_that_cannot_be_asked_says_why(window: Window, server: FaultServer) -> None:
    secrets.save("openrouter", KEY)
    server.stop()
    said = window.get("/api/samples/provider/openrouter/account")
    assert said.status == 200 and "can&#39;t be reached" in said.text and KEY not in said.text


def test_a_model_is_found_in_the_list_by_words_price_and_context(
    open_page: OpenPage, project: Project, server: FaultServer
) -> None:
    secrets.save("openrouter", KEY)
    page = open_page("en", project.slug, "samples")
    choose(page, "OpenRouter")
    find = page.get_by_role("button", name="Choose from a list")
    find.click()
    shown = page.locator(".ca-models tbody tr:visible")
    shown.nth(3).wait_for()
    page.locator(".ca-models").get_by_text("4 shown").wait_for()
    assert "2 $" in shown.filter(has_text="maker/large").inner_text()
    page.get_by_label("Only free ones").check()
    assert shown.all_inner_texts()[0].startswith("maker/small:free") and shown.count() == 1
    page.get_by_label("Only free ones").uncheck()
    page.locator(".ca-models select").select_option("cost")
    names = [text.split("\t")[0].strip() for text in shown.all_inner_texts()]
    assert names[:2] == ["maker/small:free", "other/cheap"]
    page.get_by_label("Search models").fill("large mak")
    assert shown.count() == 1
    find.evaluate("(button) => button.addEventListener('click', () => (button.title = 'again'))")
    page.get_by_label("Search models").press("Enter")
    assert page.locator("#samples-model input").input_value() == "maker/large"
    assert page.locator(".ca-models").count() == 0
    # The key that chose must not press the button that has the focus now.
    assert find.get_attribute("title") is None
    # It is what the run will ask for, and the list can be opened again.
    find.click()
    page.locator("[data-pick='other/cheap']").click()
    page.locator(".ca-models").wait_for(state="detached")
    page.get_by_role("button", name="Show request").click()
    page.locator(".ca-preview").get_by_text("The whole request as JSON").click()
    page.locator(".ca-preview pre", has_text='"model": "other/cheap"').wait_for()
    assert page.evaluate("window.hacked") is None


def test_a_server_that_does_not_answer_is_named_beside_the_list(
    open_page: OpenPage, project: Project, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page("en", project.slug, "samples")
    choose(page, "A compatible server")
    settings.change("openai_compatible_url", "http://127.0.0.1:9/v1")
    page.get_by_role("button", name="Choose from a list").click()
    page.locator(".ca-models").get_by_text("http://127.0.0.1:9/v1 can't be reached").wait_for()
    settings.change("openai_compatible_url", server.openrouter)
    page.locator(".ca-models").get_by_role("button", name="Try again").click()
    page.locator("[data-pick='maker/large']").wait_for()


def test_a_slow_server_is_given_up_in_words(
    window: Window, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "PATIENCE_SECONDS", 0.0)
    said = window.get("/api/samples/provider/openrouter/models")
    assert "No answer came within 0 seconds." in said.text
