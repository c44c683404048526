"""Whatever happens to windows and app, a run goes on, and its windows find it again."""

from typing import TYPE_CHECKING

import pytest

from custom_ai.runs import runner
from tests.ui.serving import free_port
from tests.ui.surviving import SCREENS, TASKS, Windows, disturb, options_of, project_before

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("task", TASKS)
def test_a_run_goes_on_through_reloads_closed_tabs_and_a_killed_app(
    browser: "Browser", task: str
) -> None:
    project = project_before(task)
    windows = Windows(browser.new_context(), SCREENS[task], project, free_port())
    try:
        run, _ = runner.start(project, task, options_of(project, task))
        # One of each; benchmarks/ui_survival.py does fifty, and measures.
        disturb(windows, run, times=3, slice_=0.2)
        windows.page.wait_for_selector(
            f"[hx-get='/api/runs/card/{task}'] [data-state=finished]", state="attached"
        )
    finally:
        windows.close()
