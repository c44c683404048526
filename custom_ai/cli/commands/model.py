"""`model list | set | convert`: the base model of a project."""

import argparse
import asyncio
import tempfile
from pathlib import Path

from custom_ai import settings
from custom_ai.cli.arguments import Parsers, add_project, command, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.cli.progress import Progress
from custom_ai.models.catalogue import choose as choose_model
from custom_ai.models.catalogue import list_known, original_of
from custom_ai.models.from_gguf import make_trainable, target_of
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from custom_ai.providers import ollama_list
from custom_ai.step import Step
from custom_ai.texts import t


def register(parsers: Parsers) -> None:
    """Add the commands."""
    model = group(parsers, "model")
    listing = command(model, "model list", _list)
    listing.add_argument("--ollama", action="store_true", help=t("cli.model_ollama"))
    choose = command(model, "model set", _set)
    add_project(choose)
    choose.add_argument("model", metavar="MODEL", help=t("cli.model_name"))
    back = command(model, "model convert", _convert)
    back.add_argument("source", metavar="GGUF|TAG", help=t("cli.convert_source"))
    back.add_argument("--name", metavar="N", help=t("cli.convert_name"))


def _list(args: argparse.Namespace) -> Outcome:
    if args.ollama:
        return _list_ollama()
    known = list_known()
    return Outcome(known, table([(m["name"], m["description"]) for m in known]))


def _list_ollama() -> Outcome:
    """The models of Ollama, each with the model that can be trained in its place."""
    found = asyncio.run(ollama_list.ask(settings.load().ollama_url))
    models = [
        {
            "name": model.name,
            "size": model.size,
            "family": model.family,
            "quantization": model.quantization,
            "trains_as": None if model.remote else original_of(model.name, model.family),
        }
        for model in found.models
    ]
    rows = [(str(m["name"]), m["trains_as"] or t("cli.no_original")) for m in models]
    return Outcome(models, table(rows) if rows else t("providers.ollama_empty"))


def _set(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    name = args.model
    if name != "starter" and Path(name).expanduser().is_dir():
        # A relative path would mean another folder tomorrow.
        name = str(Path(name).expanduser().absolute())
    model = choose_model(name)
    with writing(project, "model set"):
        project.change(base_model=model.name)
    return Outcome({"base_model": model.name}, t("cli.model_chosen", model=model.name))


def _convert(args: argparse.Namespace) -> Outcome:
    """Make a GGUF file, or the one behind a model of Ollama, trainable."""
    target = target_of(args.source, args.name)
    progress = Progress()
    with tempfile.TemporaryDirectory() as folder:
        step = Step(Path(folder), progress.show, lambda: None)
        made = make_trainable(args.source, target, step)
    progress.done()
    return Outcome(made, t("cli.converted", path=target, value=f"{made['divergence']:.2g}"))
