"""Engines in the app: what works, the notice about the licence, installing as a run."""

from typing import Any

import pytest

from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.runs import runner
from custom_ai.runs.run import all_runs
from custom_ai.ui.routes import engines


def test_the_notice_stands_above_the_button() -> None:
    page = engines.show(projects.create("Handbook"))
    assert page.index("GNU Affero General Public License") < page.index("/api/engines/unsloth")
    assert "I agree, install" in page


def test_installing_is_a_run_that_says_how_it_went(monkeypatch: pytest.MonkeyPatch) -> None:
    project = projects.create("Handbook")
    # No index of packages is asked in this test: the first of them is not to be had.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    answer = engines.install("unsloth", project)
    assert answer.status_code == 204
    run = runner.wait(all_runs(project)[-1])
    assert (run.task, run.state) == ("engine", "failed")
    error: dict[str, Any] = run.error() or {}
    assert error["code"] == "training.install_failed"
    assert "unsloth==" in error["values"]["command"]


def test_only_what_can_be_installed_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError):
        engines.install("trl", projects.create("Handbook"))
