"""A run at work while its windows are reloaded and closed and the app is killed and restarted."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil

from custom_ai import demo
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner
from custom_ai.runs.run import ACTIVE, Run, all_runs

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

ROOT = Path(__file__).parents[2]
TASKS = ("documents", "samples", "train", "export", "evaluate")

# The step of the app on which a task is at home.
SCREENS = {
    "documents": "documents",
    "samples": "samples",
    "train": "training",
    "export": "training",
    "evaluate": "chat",
}
_PATIENCE = 60_000


def project_before(task: str) -> Project:
    """A project in which everything before the task is done."""
    project = projects.create(f"Before {task}")
    for earlier in TASKS[: TASKS.index(task)]:
        if earlier == "export":
            continue
        run, _ = runner.start(project, earlier, options_of(project, earlier))
        assert runner.wait(run).state == "finished", run.error()
    return project


def options_of(project: Project, task: str) -> dict[str, Any]:
    """What is asked of the task: little, so that it takes seconds."""
    if task == "documents":
        return requests.documents(demo.documents(), project)
    if task == "samples":
        return requests.samples("extractive", {"count": 30})
    if task == "train":
        return requests.training(project, {"epochs": 2})
    if task == "export":
        return requests.export(project, "gguf", {})
    return requests.evaluation(project, {"limit": 4})


class Windows:
    """The app as a process of its own, and a window on it; `close` closes the context, too."""

    def __init__(self, context: BrowserContext, step: str, project: Project, port: int) -> None:
        self._address = f"/en/?project={quote(project.slug)}#{step}"
        self._port = port
        self._context = context
        self._start()
        self.page = self._open(f"{self._url}")

    def _start(self) -> None:
        command = [sys.executable, "-m", "custom_ai", "ui", "--no-browser", "--json"]
        self._app = subprocess.Popen(
            [*command, "--port", str(self._port)],
            cwd=ROOT,
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._app.stdout
        self._url = json.loads(self._app.stdout.readline())["url"]

    def _open(self, url: str) -> Page:
        page = self._context.new_page()
        page.set_default_timeout(_PATIENCE)
        page.goto(url)
        page.wait_for_selector("body[data-ready]")
        page.goto(self._url.partition("/?")[0] + self._address)
        page.wait_for_selector("body[data-ready]")
        return page

    def reload(self) -> None:
        """Press F5."""
        self.page.reload(wait_until="commit")

    def close_and_open(self) -> None:
        """Close the tab and open another one."""
        self.page.close()
        self.page = self._context.new_page()
        self.page.set_default_timeout(_PATIENCE)
        self.page.goto(self._url.partition("/?")[0] + self._address, wait_until="commit")

    def restart(self) -> None:
        """Kill the app; the window that is still open hears of the run from the new one."""
        self.page.evaluate("window.beforeTheRestart = true")
        self._app.kill()
        self._app.wait()
        assert self._app.stdout
        self._app.stdout.close()
        with self.page.expect_response(
            lambda answer: "/api/runs/card/" in answer.url and answer.ok, timeout=_PATIENCE
        ):
            self._start()

    def wait_for_progress(self, task: str) -> None:
        """Until the run's card is seen: in the first view, or in its place on the page."""
        self.page.wait_for_selector(f"[hx-get='/api/runs/card/{task}'] .ca-run >> visible=true")

    def wait_until_usable(self, task: str) -> None:
        """Until the forms are drawn, too, and the card stands in its place among them."""
        self.page.wait_for_selector("body[data-ready]")
        card = f"#step-{SCREENS[task]} [hx-get='/api/runs/card/{task}'] .ca-run"
        self.page.wait_for_selector(card)

    def settle(self) -> None:
        """Until the window has loaded the page of an app that was restarted."""
        self.page.wait_for_function("!window.beforeTheRestart")

    def close(self) -> None:
        """End app and window, not the run."""
        self._context.close()
        self._app.kill()
        self._app.wait()
        assert self._app.stdout
        self._app.stdout.close()


@contextmanager
def slowly(run: Run) -> Iterator[psutil.Process]:
    """The run's process, standing still: `let_work` gives it slices of time."""
    while (pid := run.pid) is None:
        assert run.state in ACTIVE, "it was over before it could be held"
        time.sleep(0.01)
    process = psutil.Process(pid)
    process.suspend()
    try:
        yield process
    finally:
        if process.is_running():
            process.resume()


def let_work(process: psutil.Process, seconds: float) -> None:
    """Give the run a slice of time."""
    process.resume()
    time.sleep(seconds)
    process.suspend()


@dataclass
class Back:
    """Seconds of each disturbance until the run was seen again, and until all could be used."""

    seen: list[float] = field(default_factory=list)
    usable: list[float] = field(default_factory=list)


def disturb(
    windows: Windows, run: Run, times: int, slice_: float, seed: int = 1
) -> dict[str, Back]:
    """Reload, close and restart `times` times while the run is at work; then let it end.

    Returns how long it took until the window was back, for each kind of disturbance.
    Fails when the run stopped, when its process is another one, or when there is a second run.
    """
    chance = random.Random(seed)
    ways = {
        "reload": windows.reload,
        "new tab": windows.close_and_open,
        "restart of the app": windows.restart,
    }
    back = {name: Back() for name in ways}
    with slowly(run) as process:
        pid = process.pid
        for number in range(times):
            name = list(ways)[number % 3 if number < 3 else chance.randrange(3)]
            started = time.monotonic()
            ways[name]()
            windows.wait_for_progress(run.task)
            back[name].seen.append(time.monotonic() - started)
            windows.settle()
            windows.wait_until_usable(run.task)
            back[name].usable.append(time.monotonic() - started)
            assert run.state in ACTIVE, run.state
            assert run.pid == pid
            let_work(process, slice_)
    runner.wait(run)
    assert run.state == "finished", run.error()
    same = [other for other in all_runs(run.project) if other.task == run.task]
    assert len(same) == 1
    return back
