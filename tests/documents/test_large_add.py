"""A thousand files: seen to go on, paused, continued, cancelled, killed at any moment."""

import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from custom_ai.documents import library
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner
from custom_ai.runs.run import ACTIVE, Run
from custom_ai.runs.standing import Standing
from tests.documents import hostile
from tests.documents.test_kill import content
from tests.processes import is_at_work

WORKER = "custom_ai.documents.reader_worker"
WAIT_SECONDS = 240
KILLS = 8


@pytest.fixture
def project() -> Project:
    return projects.create("large")


def notes(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        sentences = f"Satz {number} über die Wohnung und ihre Miete. " * (1 + number % 7)
        (folder / f"{number:04}.md").write_text(f"# Notiz {number}\n\n{sentences}")
    return folder


def start(project: Project, folder: Path) -> Run:
    run, _ = runner.start(project, "documents", requests.documents([folder], project))
    return run


def until(condition: Callable[[], Any]) -> Any:
    """What the condition comes to, once it holds."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail("it never came true")


def stored(project: Project) -> int:
    return len(library.list_all(project))


def test_a_thousand_files_show_progress_and_can_be_paused_and_resumed(
    project: Project, tmp_path: Path
) -> None:
    folder = notes(tmp_path / "many", 1000)
    run = start(project, folder)
    seen = Standing(run)
    until(lambda: seen.read().done >= 50)
    assert seen.total == 1000
    until(lambda: seen.read().eta is not None)
    assert 0 < seen.share < 1
    assert (seen.eta or 0) > 0
    runner.ask(run, "pause")
    until(lambda: run.state == "paused")
    kept = stored(project)
    assert 50 <= kept < 1000
    again = start(project, folder)
    assert again.number == run.number
    runner.wait(again)
    result = again.result() or {}
    assert (result["added"], result["unchanged"], result["failed"]) == (1000 - kept, kept, [])
    assert stored(project) == 1000
    assert Standing(again).read().share == 1.0


def test_cancelling_a_long_file_takes_effect_in_the_middle_and_keeps_nothing_of_it(
    project: Project, tmp_path: Path
) -> None:
    folder = notes(tmp_path / "few", 3)
    (folder / "9.pdf").write_bytes(hostile.many_pages(30_000))
    run = start(project, folder)
    seen = Standing(run)
    until(lambda: seen.read().details.get("page", 0) > 500)
    children = psutil.Process(run.pid).children(recursive=True)
    readers = [process for process in children if is_at_work(process, WORKER)]
    assert len(readers) == 1
    runner.ask(run, "cancel")
    until(lambda: run.state not in ACTIVE)
    assert run.state == "cancelled"
    assert (seen.read().details["page"], seen.details["pages"]) < (30_000, 60_001)
    until(lambda: not is_at_work(readers[0], WORKER))
    assert stored(project) == 3


def test_killed_at_random_moments_a_large_add_ends_like_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    folder = notes(tmp_path / "many", 300)
    for number in range(4):
        (folder / f"long-{number}.pdf").write_bytes(hostile.pdf(40 + number))
    undisturbed, disturbed = projects.create("undisturbed"), projects.create("disturbed")
    started = time.monotonic()
    runner.wait(start(undisturbed, folder))
    whole = time.monotonic() - started
    rng = random.Random(4)
    for number in range(KILLS):
        run = start(disturbed, folder)
        until(partial(_begun, run))
        time.sleep(rng.random() * whole * 2 / KILLS)
        if run.state not in ACTIVE:
            break
        kill(run, group=number % 2 == 1)
    runner.wait(start(disturbed, folder))
    assert content(disturbed.database) == content(undisturbed.database)


def _begun(run: Run) -> bool:
    return run.state == "running" or run.state not in ACTIVE


def kill(run: Run, group: bool) -> None:
    """Kill the run's process, or at once all that belong to it; no reader outlives it."""
    pid = run.pid
    if pid is None:
        return
    try:
        process = psutil.Process(pid)
        children = process.children(recursive=True)
        if group:
            for child in children:
                child.kill()
            os.killpg(pid, signal.SIGKILL)
        process.kill()
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
    until(lambda: run.state not in ACTIVE)
    until(lambda: not any(is_at_work(child, WORKER) for child in children))
