"""Run by the tests in a process without threads: a review that dies, or runs out of disk.

    python -m tests.datasets.dying_review kill|full TEMPLATE_PROJECT SCRATCH

For every n, a child works on a copy of the template and meets the fault at its n-th write. It says
what was confirmed before. Prints one JSON line a trial; the last one is the trial that n spared.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from custom_ai.datasets.review import Filter, Review
from custom_ai.projects.project import Project
from tests.faults.faulty_worker import Fault


def work(project: Project, said: int) -> None:
    """Edit one sample, reject three, take one back, write the file for the training."""
    review = Review(project)
    ids = [judged.sample.id for judged in review.page(Filter(order="length"), limit=5).items]
    review.edit(ids[0], "Eine andere Frage?", "Eine andere Antwort.")
    os.write(said, b"e")
    review.decide(ids[1:4], "rejected")
    os.write(said, b"d")
    review.restore(ids[1])
    os.write(said, b"r")
    review.save()
    os.write(said, b"s")


def trial(project: Project, n: int, full: bool) -> dict[str, object]:
    """One child with a fault at its n-th write; its exit status and what it confirmed."""
    heard, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        fault = Fault(project.folder, n, full)
        # The pipe is no disk.
        real_write = os.write
        fault.install()
        faulty_write = os.write
        os.write = lambda handle, data: (real_write if handle == said else faulty_write)(
            handle, data
        )
        try:
            work(project, said)
            code = 0
        except OSError:
            code = 3
        finally:
            os._exit(code)
    os.close(said)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with open(heard, "rb") as stream:
        confirmed = stream.read().decode()
    return {"n": n, "code": code, "confirmed": confirmed, "folder": str(project.folder)}


def main(kind: str, template: Path, scratch: Path) -> None:
    n = 0
    while True:
        n += 1
        project = Project(scratch / f"{n:03}")
        shutil.copytree(template, project.folder)
        shown = trial(project, n, kind == "full")
        print(json.dumps(shown), flush=True)
        if shown["code"] == 0:
            break


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
