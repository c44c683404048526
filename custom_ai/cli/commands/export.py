"""`export`: the trained model as GGUF, in Ollama, as safetensors or adapter."""

import argparse

from custom_ai.cli import foreground
from custom_ai.cli.arguments import Parsers, add_options, add_project, command, given
from custom_ai.cli.outcome import Outcome
from custom_ai.export import exporter as exporters
from custom_ai.export.elsewhere import ways
from custom_ai.projects import project as projects
from custom_ai.runs import requests
from custom_ai.texts import t


def register(parsers: Parsers) -> None:
    """Add the command, with the options of every exporter."""
    parser = command(parsers, "export", _export)
    add_project(parser)
    parser.add_argument("--format", choices=exporters.names(), help=t("cli.format"))
    parser.add_argument("--name", metavar="N", help=t("cli.export_name"))
    parser.add_argument("--run", type=int, metavar="RUN", help=t("cli.export_run"))
    known: set[str] = set()
    for name in exporters.names():
        # Formats may share an option; it means the same in each.
        add_options(parser, exporters.find(name).options, tuple(known))
        known |= set(exporters.find(name).options.model_fields)


def _export(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    format_name = args.format or project.config.output_format
    special = given(args, exporters.find(format_name).options)
    options = requests.export(project, format_name, special, args.name, args.run)
    run, stopped = foreground.do(project, "export", options)
    if stopped:
        return stopped
    result = run.result() or {}
    found = ways(project.models / options["name"])
    result["commands"] = {way.program: way.command for way in found}
    lines = [t("cli.exported", path=result["path"]), result["acceptance"]["verdict"]]
    lines += [f"{way.program}: {way.command}" for way in found]
    return Outcome(result, "\n".join(lines))
