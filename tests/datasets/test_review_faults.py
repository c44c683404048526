"""Killed or out of disk at the n-th write of a review: nothing confirmed is lost, no line is torn,
and the same decisions again complete the work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from custom_ai.datasets.derive import current_samples
from custom_ai.datasets.journal import read
from custom_ai.projects.project import Project
from tests.datasets.corpus import fill_journal, make_project, prose
from tests.datasets.dying_review import work

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["kill", "full"])
def test_a_fault_at_any_write_loses_nothing_that_was_confirmed(kind: str, tmp_path: Path) -> None:
    template = make_project({"a.txt": prose(0, 32)})
    fill_journal(template, 20)
    current_samples(template)
    expected = _undisturbed(template, tmp_path / "undisturbed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.datasets.dying_review", kind, template.folder, tmp_path],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    assert {trial["code"] for trial in trials[:-1]} == {-9 if kind == "kill" else 3}
    assert {trial["confirmed"] for trial in trials} == {"", "e", "ed", "edr", "edrs"}
    lines = {"e": 1, "d": 3, "r": 1, "s": 0}
    for trial in trials:
        project = Project(Path(trial["folder"]))
        data = project.journal.read_bytes()
        contents = read(project.journal)
        assert contents.ignored == 0
        confirmed = sum(lines[letter] for letter in trial["confirmed"])
        written = len(list(contents.of("review")))
        if kind == "full":
            # What failed was taken back.
            assert data.endswith(b"\n") and written == confirmed, trial
        assert written >= confirmed, trial
        assert _undisturbed(project, None) == expected, trial
        shutil.rmtree(project.folder)


def _undisturbed(project: Project, copy: Path | None) -> bytes:
    """What the training reads once the work is done on (a copy of) the project."""
    if copy:
        project = Project(Path(shutil.copytree(project.folder, copy)))
    with open(os.devnull, "wb") as nobody:
        work(project, nobody.fileno())
    assert not list(project.folder.rglob("*.tmp"))
    return current_samples(project).read_bytes()
