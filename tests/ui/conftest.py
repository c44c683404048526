"""The real app on a real port, and a real browser that opens it."""

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from custom_ai.ui.environment import prepare

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

# Names under which systems install it.
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "microsoft-edge")

# Long enough for a machine that is at work with something else.
PATIENCE = 30_000

OpenPage = Callable[..., "Page"]


def find_browser() -> str | None:
    """The installed browser the tests drive."""
    return next((found for name in _BROWSERS if (found := shutil.which(name))), None)


def unfold(title: "Locator") -> None:
    """Open a folded part of the page.

    Gradio shows what is in it, and a frame later gives it its values once more: what was typed in
    between, as only a test is quick enough to do, would be lost.
    """
    title.click()
    frame = "await new Promise((drawn) => requestAnimationFrame(drawn));"
    title.page.evaluate(f"async () => {{ {3 * frame} }}")


@pytest.fixture(scope="session")
def app() -> Iterator[str]:
    """The address of the app, without its guard; each test's own home is what it shows."""
    prepare()
    import uvicorn

    from custom_ai.ui.app import create_app

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(), log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """A browser without a window. On a build machine there must be one."""
    path = find_browser()
    if path is None and not os.environ.get("CI"):
        pytest.skip(f"no browser here: one of {', '.join(_BROWSERS)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        # As root, as build machines often are, Chromium's own sandbox does not start.
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(app: str, browser: "Browser") -> Iterator[OpenPage]:
    """Opens a window: `open_page("en", project, "documents")`; scripts that fail fail the test."""
    contexts, failures = [], []

    def open_(
        lang: str = "en",
        project: str = "",
        step: str = "",
        width: int = 1360,
        entrance: str = "",
        **more: Any,
    ) -> "Page":
        context = browser.new_context(viewport={"width": width, "height": 900}, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: failures.append(str(error)))
        if entrance:
            # With the launch token: from here on the window has the cookie.
            page.goto(entrance)
        query = f"?project={quote(project)}" if project else ""
        page.goto(f"{app}/{lang}/{query}#{step}")
        page.wait_for_selector("[data-ready]")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert failures == []
