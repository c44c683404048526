"""How the judging of samples goes."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from custom_ai.runs import run as runs
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import render
from custom_ai.ui.routes.pulse import standing

router = APIRouter(prefix="/api/judge", route_class=Spoken, default_response_class=HTMLResponse)


@router.get("/counters")
def counters(project: Here) -> str:
    """What the newest run has found so far; empty before the first one."""
    found = next((run for run in reversed(runs.all_runs(project)) if run.task == "judge"), None)
    if found is None:
        return ""
    now = standing(found)
    result = found.result() or {}
    given_up = result.get("given_up", now.details.get("given_up", 0))
    return render(
        "judge_counters",
        judged=result.get("judged", max(0, int(now.done) - given_up)),
        doubted=result.get("doubted", now.details.get("doubted", 0)),
        given_up=given_up,
        without_passage=result.get("without_passage", 0),
        cost=result.get("cost", now.details.get("cost", 0)),
    )
