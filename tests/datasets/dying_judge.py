"""Run by the tests in a process without threads: a judge's run that dies, or runs out of disk.

    python -m tests.datasets.dying_judge kill|full BASE_URL TEMPLATE_PROJECT SCRATCH

For every n, a child works on a copy of the template and meets the fault at its n-th write; then
another one does the same without a fault. Prints one JSON line a trial; the last one is the trial
that n spared.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from custom_ai.datasets.judge import judge
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.projects.project import Project
from custom_ai.providers.provider import find
from custom_ai.step import Step
from tests.datasets.dying_generate import in_child
from tests.faults.faulty_worker import Fault


def work(project: Project, url: str) -> None:
    """Have all samples judged, one request at a time: each answer is a write of its own."""
    options = JudgeOptions(
        model="maker/judge", base_url=url, concurrency=1, retry_delay=0.01, wait_for_server=0
    )
    judge(project, "openrouter", options, Step(project.folder, lambda _: None, lambda: None))


def failing(project: Project, url: str, fault: Fault) -> Callable[[], None]:
    """The work with a fault."""

    def work_and_fail() -> None:
        fault.install()
        work(project, url)

    return work_and_fail


def main(kind: str, url: str, template: Path, scratch: Path) -> None:
    find("openrouter")
    n, first = 0, -1
    while first != 0:
        n += 1
        project = Project(scratch / f"{n:03}")
        shutil.copytree(template, project.folder)
        first = in_child(failing(project, url, Fault(project.folder, n, kind == "full")))
        kept = project.journal.read_text("utf-8", "replace")
        second = in_child(lambda project=project: work(project, url))
        shown = {"n": n, "first": first, "second": second, "kept": kept}
        print(json.dumps({**shown, "folder": str(project.folder)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    os._exit(0)
