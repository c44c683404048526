"""Photograph every screen of the app, for the manual: light, dark, English, German, narrow.

python -m scripts.screenshots [FOLDER]

Makes a project from the sample documents, takes it through the whole chain, and writes the pictures
to docs/screenshots. Needs Chromium, Chrome or Edge; nothing of the user's own is touched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_ai import demo
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner
from custom_ai.ui.window import window_program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
STEPS = ("documents", "model", "samples", "training", "chat", "settings")
WIDE, NARROW = 1360, 820
LONGEST = 2400
# name: language, appearance, width
SERIES: dict[str, tuple[str, str, int]] = {
    "light": ("en", "light", WIDE),
    "dark": ("en", "dark", WIDE),
    "german": ("de", "light", WIDE),
    "narrow": ("de", "dark", NARROW),
}
_SETTLED = 1500


def main(arguments: list[str]) -> int:
    """Take all pictures."""
    target = Path(arguments[0]) if arguments else ROOT / "docs" / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(CUSTOM_AI_HOME=home, OMP_NUM_THREADS="1")
        project = make_project()
        command = [sys.executable, "-m", "custom_ai", "ui", "--no-browser", "--json"]
        app = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert app.stdout
            take_all(json.loads(app.stdout.readline())["url"], project, target)
        finally:
            app.kill()
            app.wait()
    print(f"{len(list(target.glob('*.png')))} pictures in {target}")
    return 0


def make_project() -> Project:
    """The sample project with everything a project can have."""
    project = projects.create("Handbook")
    _do(project, "documents", requests.documents(demo.documents()))
    _do(project, "samples", requests.samples("extractive", {"count": 60}))
    _do(project, "train", requests.training(project, {"epochs": 6}))
    _do(project, "train", requests.training(project, {"epochs": 16}))
    _do(project, "export", requests.export(project, "gguf", {}))
    _do(project, "evaluate", requests.evaluation(project, {}))
    return project


def _do(project: Project, task: str, options: dict[str, Any]) -> None:
    run, _ = runner.start(project, task, options)
    state = runner.wait(run).state
    assert state == "finished", run.error()
    print(f"{task}: {state}", flush=True)


def take_all(url: str, project: Project, target: Path) -> None:
    """Every screen in every series."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=window_program(), args=["--no-sandbox"])
        for series, (lang, mode, width) in SERIES.items():
            page = open_window(browser, url, lang, mode, width, "")
            _photograph(page, target / f"{series}-0-welcome.png")
            root = url.partition("/?")[0]
            page.goto(f"{root}/{lang}/?project={project.slug}")
            page.wait_for_selector("body[data-ready]")
            for number, step in enumerate(STEPS, start=1):
                page.locator(f"#step-{step}-button").click()
                page.wait_for_timeout(_SETTLED)
                if step == "chat":
                    _ask_a_question(page)
                _photograph(page, target / f"{series}-{number}-{step}.png")
            page.context.close()
        browser.close()


def _ask_a_question(page: Page) -> None:
    """One of the trained questions, of both models."""
    page.locator("button[data-ask]").first.click()
    for side in ("base", "tuned"):
        page.locator(f"section[data-side={side}] .ca-text").wait_for(timeout=60_000)


def _photograph(page: Page, path: Path) -> None:
    """The whole page, or so much of a very long one as a person looks at."""
    width, height = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    page.evaluate("scrollTo(0, 0)")
    height = min(height, LONGEST)
    page.screenshot(
        path=path, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height}
    )


def open_window(browser: Browser, url: str, lang: str, mode: Any, width: int, query: str) -> Page:
    """A window without a project, in the wished language and appearance."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=mode, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    page.goto(f"{url.partition('/?')[0]}/{lang}/{query}")
    page.wait_for_selector("body[data-ready]")
    page.wait_for_timeout(_SETTLED)
    return page


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
