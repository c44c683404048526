"""The base model: what is known of the chosen one, what else can be chosen, what Ollama has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from custom_ai import hardware, settings
from custom_ai.documents.counting import counted_otherwise
from custom_ai.errors import UserError
from custom_ai.export.preflight import is_checked, obstacle
from custom_ai.hardware import Hardware
from custom_ai.models import catalogue
from custom_ai.models.catalogue import TrainableModel
from custom_ai.models.facts import Facts, look_up
from custom_ai.models.from_gguf import possible
from custom_ai.projects.lock import writing
from custom_ai.projects.project import Project
from custom_ai.providers import ollama_list
from custom_ai.providers.ollama_list import InstalledModel
from custom_ai.runs import requests, runner
from custom_ai.runs.run import all_runs
from custom_ai.settings import home
from custom_ai.training.estimate import Outlook, look_ahead
from custom_ai.training.presets import suited
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import render

router = APIRouter(prefix="/api/model", route_class=Spoken, default_response_class=HTMLResponse)

FORMATS = ("gguf", "ollama", "safetensors", "adapter", "gguf_adapter")
Format = Literal["gguf", "safetensors", "adapter"]

# For the estimate, where it is not known yet how many samples there will be.
_USUAL_SAMPLES = 500


@dataclass(frozen=True)
class Choice:
    """A model as the tables show it. obstacle: why the project's format is not possible."""

    facts: Facts
    outlook: Outlook | None
    obstacle: UserError | None
    chosen: bool


@router.get("/chosen")
def chosen(project: Here) -> str:
    """The project's base model, and the formats it can become."""
    config = project.config
    try:
        model = catalogue.named(config.base_model)
        choice = _choice(model, project, hardware.detect(home()))
        missing = _missing(choice.facts)
    except UserError as error:
        return render("model_gone", model=config.base_model, error=error)
    return render(
        "model_chosen",
        choice=choice,
        missing=missing,
        checked=is_checked(choice.facts),
        formats=[(name, obstacle(choice.facts, name)) for name in FORMATS],
        format=config.output_format,
        recount=_recount(project, model),
    )


@router.get("/choices")
def choices(project: Here) -> str:
    """The models worth suggesting."""
    machine = hardware.detect(home())
    models = [catalogue.named(known["name"]) for known in catalogue.list_known()]
    return render("model_choices", choices=[_choice(m, project, machine) for m in models])


@router.get("/ollama")
async def installed(project: Here) -> str:
    """The models of Ollama, each with what it can be trained as."""
    url = settings.load().ollama_url
    try:
        found = await ollama_list.ask(url)
    except UserError as error:
        return render("model_ollama", found=None, url=url, error=error, rows=[])
    rows = await run_in_threadpool(_rows, project, found.models)
    return render("model_ollama", found=found, url=url, error=None, rows=rows, possible=possible)


@router.post("/choose")
def choose(name: Annotated[str, Form()], project: Here) -> Response:
    """Make it the project's base model; asks the hub about one that is not here."""
    model = catalogue.choose(name)
    with writing(project, "model set"):
        project.change(base_model=model.name)
    return Response(status_code=204, headers={"HX-Trigger": "ca:look"})


@router.get("/converted")
def converted(project: Here) -> str:
    """The model that was made trainable last, as long as it is there."""
    done = [run for run in all_runs(project) if run.task == "convert" and run.state == "finished"]
    result = done[-1].result() if done else None
    if not result or not Path(result["folder"]).is_dir():
        return ""
    chosen = result["folder"] == project.config.base_model
    return render("model_converted", result=result, chosen=chosen)


@router.post("/convert")
def convert(
    source: Annotated[str, Form()], project: Here, name: Annotated[str, Form()] = ""
) -> Response:
    """Start making a GGUF file, or a model of Ollama, trainable."""
    runner.start(project, "convert", requests.conversion(source, name))
    return Response(status_code=204, headers={"HX-Trigger": "ca:look"})


@router.post("/format/{name}")
def choose_format(name: Format, project: Here) -> Response:
    """Save what the trained model is to become."""
    with writing(project, "model set"):
        project.change(output_format=name)
    return Response(status_code=204, headers={"HX-Trigger": "ca:look"})


def _rows(
    project: Project, models: tuple[InstalledModel, ...]
) -> list[tuple[InstalledModel, Choice | None]]:
    machine = hardware.detect(home())
    rows = []
    for model in models:
        name = None if model.remote else catalogue.original_of(model.name, model.family)
        choice = _choice(catalogue.named(name), project, machine) if name else None
        rows.append((model, choice))
    return rows


def _choice(model: TrainableModel, project: Project, machine: Hardware) -> Choice:
    facts = look_up(model)
    outlook = None
    if facts.shape:
        usual = suited(model, _USUAL_SAMPLES, machine)
        outlook = look_ahead(facts.shape, usual, machine)
    config = project.config
    return Choice(
        facts=facts,
        outlook=outlook,
        obstacle=obstacle(facts, config.output_format),
        chosen=model.name == config.base_model,
    )


def _missing(facts: Facts) -> UserError | None:
    """What a chosen folder lacks now; a model of the hub is fetched when it is needed."""
    if facts.here or facts.model.kind == "hub":
        return None
    try:
        catalogue.check_folder(Path(facts.model.path))
    except UserError as error:
        return error
    return None


def _recount(project: Project, model: TrainableModel) -> int:
    """How many documents were cut by the count of another model than this one."""
    file = model.tokenizer_file()
    if file is None:
        # Until the model is here, the starter's count is used.
        return counted_otherwise(project)
    return counted_otherwise(project, file, model.name) if file.exists() else 0
