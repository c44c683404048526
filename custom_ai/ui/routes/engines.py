"""The engines that train: what works here, and installing what people add themselves."""

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from custom_ai.runs import runner
from custom_ai.training import engine as engines
from custom_ai.training import engine_install
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import render

router = APIRouter(prefix="/api/engines", route_class=Spoken, default_response_class=HTMLResponse)


@router.get("/list")
def show(project: Here) -> str:
    """Each engine and what it lacks; for those one installs, the notice and a button."""
    found = [(name, engines.find(name).unavailable()) for name in engines.names()]
    notices = {name: engine_install.notice(name) for name in engine_install.INSTALLABLE}
    return render("training_engines", engines=found, notices=notices)


@router.post("/{name}/install")
def install(name: str, project: Here) -> Response:
    """Install an engine; the button says that one agrees to the notice above it."""
    engine_install.facts(name)
    runner.start(project, "engine", {"name": name, "agreed": True})
    return Response(status_code=204, headers={"HX-Trigger": "ca:look"})
