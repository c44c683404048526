"""Parts of the settings: keys, defaults for training, folders, licences."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from custom_ai import __version__, secrets, settings
from custom_ai.errors import UserError
from custom_ai.options import choices, limits
from custom_ai.projects.project import projects_folder
from custom_ai.providers import provider as providers
from custom_ai.settings import home
from custom_ai.training import defaults
from custom_ai.training.config import TrainingOptions
from custom_ai.ui import legal
from custom_ai.ui.here import Spoken
from custom_ai.ui.numbers import read_number, write_number
from custom_ai.ui.render import render
from custom_ai.ui.reveal import reveal
from custom_ai.ui.routes.provider import KEY_PAGES
from custom_ai.ui.routes.sign_in import sign_in

router = APIRouter(prefix="/api/settings", route_class=Spoken, default_response_class=HTMLResponse)

# Options one sets as a default; which engine trains is a question of each training.
_DEFAULTS = [name for name in TrainingOptions.model_fields if name != "engine"]

Word = Annotated[str, Form()]


@router.get("/keys")
def keys() -> str:
    """Which providers have a key, and where it is kept; of the key itself the last four signs."""
    names = [name for name in providers.names() if providers.find(name).takes_key]
    if settings.load().shared_corpus:
        names += secrets.PASSWORDS
    rows = [(name, secrets.find(name), secrets.where(name), KEY_PAGES.get(name)) for name in names]
    return render(
        "settings_keys",
        rows=rows,
        passwords=secrets.PASSWORDS,
        variable=secrets.variable,
        file=secrets.secrets_file(),
        sign_in=Markup(sign_in()),
    )


@router.post("/keys/{name}")
async def save_key(name: str, request: Request) -> str:
    """Keep a key. It is taken from the form by hand: no message may ever repeat what was sent."""
    _require_key_of(name)
    async with request.form() as form:
        given = form.get("key")
    if not isinstance(given, str):
        raise UserError("secrets.not_a_key")
    # The system's keyring may ask its owner to unlock it first.
    await run_in_threadpool(secrets.save, name, given)
    return await run_in_threadpool(keys)


@router.post("/keys/{name}/forget")
def forget_key(name: str) -> str:
    """Remove the key from where we kept it."""
    _require_key_of(name)
    secrets.forget(name)
    return keys()


@router.get("/training")
def training() -> str:
    """The defaults that are set for every training, and the form to set another."""
    chosen = settings.load().training
    rows = [(name, _shown(value)) for name, value in chosen.items()]
    rest = [name for name in _DEFAULTS if name not in chosen]
    return render("settings_training", rows=rows, rest=rest, options=TrainingOptions)


@router.get("/training/input")
def training_input(field: str) -> str:
    """What one puts the value of an option in."""
    return render("settings_input", **_about(field)) if field else ""


@router.post("/training")
def set_default(field: Word, value: Word) -> str:
    """Set the default of one option."""
    defaults.change(field, _read(field, value))
    return training()


@router.post("/training/{field}/forget")
def forget_default(field: str) -> str:
    """Go back to what is recommended for an option."""
    defaults.change(field, None)
    return training()


@router.post("/training/forget")
def forget_defaults() -> str:
    """Go back to what is recommended for every option."""
    settings.reset("training")
    return training()


@router.get("/folders")
def folders() -> str:
    """Where things lie."""
    return render("settings_folders", folders=_folders(), version=__version__)


@router.post("/open/{name}")
def open_folder(name: Literal["home", "projects", "logs", "cache"]) -> Response:
    """Show one of the folders in the file manager."""
    reveal(_folders()[name])
    return Response(status_code=204)


@router.get("/legal/{name}")
def legal_text(name: legal.LegalText) -> str:
    """The licence, or the list of the libraries, for the dialog."""
    text = legal.read(name)
    if name == "libraries":
        from markdown_it import MarkdownIt

        # Raw HTML in it stays text, and only harmless links become links.
        drawn = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
        return render("settings_legal", which=name, text=Markup(drawn))
    return render("settings_legal", which=name, text=text)


def _folders() -> dict[str, Any]:
    return {
        "home": home(),
        "projects": projects_folder(),
        "logs": home() / "logs",
        "cache": home() / "cache",
    }


def _require_key_of(name: str) -> None:
    if name not in secrets.PASSWORDS and not providers.find(name).takes_key:
        raise UserError("ui_settings.needs_no_key", name=name)


def _about(field: str) -> dict[str, Any]:
    if field not in _DEFAULTS:
        raise UserError("training.unknown_option", option=field, known=", ".join(_DEFAULTS))
    info = TrainingOptions.model_fields[field]
    bounds = limits(info)
    return {
        "field": field,
        "help": TrainingOptions.help(field),
        "words": choices(info),
        "switch": info.annotation is bool,
        "low": write_number(bounds["ge"]) if "ge" in bounds else None,
        "high": write_number(bounds["le"]) if "le" in bounds else None,
        "value": _shown(info.get_default()),
    }


def _read(field: str, text: str) -> Any:
    """What was typed, as the option takes it."""
    about = _about(field)
    info = TrainingOptions.model_fields[field]
    if info.annotation not in (int, float):
        return text
    label = TrainingOptions.label(field)
    value = read_number(text, info.annotation, label)
    bounds = limits(info)
    if not bounds.get("ge", value) <= value <= bounds.get("le", value):
        raise UserError(
            "ui_settings.out_of_range", label=label, low=about["low"], high=about["high"]
        )
    return value


def _shown(value: Any) -> Any:
    """A number as people type it; words and switches as they are."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return write_number(value) if number else value
