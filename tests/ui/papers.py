"""What the tests of the Documents screen share: papers, and how they stand in a project."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from custom_ai.documents import library
from custom_ai.projects.project import Project
from custom_ai.runs import requests
from custom_ai.runs import run as runs
from custom_ai.runs.run import Run
from custom_ai.step import Step
from custom_ai.ui import shelf

LAMP = "# The lamp\n\nThe lamp burns with oil. The keeper fills it every evening.\n"
BELL = "# Die Glocke\n\nDie Glocke läutet bei Nebel. Der Wärter öffnet das Fenster.\n"


def add(project: Project, **texts: str) -> None:
    """Documents that lie in the project, without a process of their own."""
    project.originals.mkdir(exist_ok=True)
    for name, text in texts.items():
        (project.originals / f"{name}.md").write_text(text, encoding="utf-8")
    library.add(
        project, [project.originals], Step(project.folder, lambda event: None, lambda: None)
    )


def statuses(project: Project) -> dict[str, str]:
    return {entry.name: entry.status for entry in shelf.look(project).entries()}


def at_work(project: Project, paths: list[Path] | None = None) -> Run:
    """A run that counts as being at work: its process is this one."""
    run = runs.create(project, "documents", requests.documents(paths or [], project), {})
    run.set_process(os.getpid())
    run.set_state("running")
    return run


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
