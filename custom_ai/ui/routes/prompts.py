"""The words a model is asked with: shown, changed, reset; of one project or for every project."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse

from custom_ai import settings
from custom_ai.datasets import prompts
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.texts import language
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import render

router = APIRouter(prefix="/api", route_class=Spoken, default_response_class=HTMLResponse)

Language = Literal["de", "en"]
Name = Literal[
    "de.system", "de.user", "de.judge_system", "de.judge_user",
    "en.system", "en.user", "en.judge_system", "en.judge_user",
]  # fmt: skip
Text = Annotated[str, Form()]


@router.get("/prompts")
def of_project(project: Here, of: Language | None = None) -> str:
    """The templates of the window's project, of one language."""
    return _show(project, of or _own())


@router.post("/prompts/{name}")
def change(project: Here, name: Name, text: Text = "") -> str:
    """Change a template of the project; what is wrong with it is said beside it."""
    return _change(project, name, text)


@router.post("/prompts/{name}/reset")
def reset(project: Here, name: Name) -> str:
    """Go back to the template of the settings, or to ours."""
    return _change(project, name, None)


@router.get("/settings/prompts")
def of_settings(of: Language | None = None) -> str:
    """The templates that every project begins with."""
    return _show(None, of or _own())


@router.post("/settings/prompts/{name}")
def change_default(name: Name, text: Text = "") -> str:
    """As change, for every project without a template of its own."""
    return _change(None, name, text)


@router.post("/settings/prompts/{name}/reset")
def reset_default(name: Name) -> str:
    """Go back to ours."""
    return _change(None, name, None)


def _own() -> Language:
    return "de" if language() == "de" else "en"


def _change(project: Project | None, name: Name, text: str | None) -> str:
    of: Language = "de" if name.startswith("de") else "en"
    try:
        prompts.change(project, name, text)
    except UserError as error:
        return _show(project, of, {name: text or ""}, {name: error})
    return _show(project, of, saved=name)


def _show(
    project: Project | None,
    of: Language,
    typed: dict[str, str] | None = None,
    problems: dict[str, UserError] | None = None,
    saved: str = "",
) -> str:
    everywhere = settings.load().prompts
    own = project.config.prompts if project else everywhere
    shown = prompts.Prompts({**everywhere, **own})
    names = [f"{of}.{part}" for part in (*prompts.PARTS, *prompts.JUDGE_PARTS)]
    return render(
        "prompts",
        base="/api/prompts" if project else "/api/settings/prompts",
        of=of,
        rows=[(name, (typed or {}).get(name, shown.template(name))) for name in names],
        own=own,
        problems=problems or {},
        saved=saved,
        variables=tuple(dict.fromkeys(prompts.VARIABLES + prompts.JUDGE_VARIABLES)),
        version=shown.version(of),
    )
