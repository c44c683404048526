"""The card of a run: how it stands, and pause, cancel, resume."""

from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from custom_ai.runs import run as runs
from custom_ai.runs import runner
from custom_ai.runs.run import Run
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import render
from custom_ai.ui.routes.pulse import standing

router = APIRouter(prefix="/api/runs", route_class=Spoken, default_response_class=HTMLResponse)


@router.get("/card/{task}")
def card(task: str, project: Here) -> str:
    """The newest run of a task; empty when there is none."""
    for run in reversed(runs.all_runs(project)):
        if run.task == task:
            return render_card(run)
    return ""


@router.post("/{number}/{wish}")
def ask(number: int, wish: Literal["pause", "cancel", "resume"], project: Here) -> Response:
    """Pass on what somebody wants of a run; the card says what came of it."""
    run = runs.find(project, number)
    if wish == "resume":
        runner.resume(run)
    else:
        runner.ask(run, wish)
    return HTMLResponse(render_card(run), headers={"HX-Trigger": "ca:look"})


def render_card(run: Run) -> str:
    """The card of one run."""
    now = standing(run)
    return render(
        "run_card",
        run=run,
        now=now,
        error=run.error(),
        active=now.state in runs.ACTIVE,
        can_resume=now.state in ("paused", "interrupted", "failed"),
    )
