"""`samples prompts | preview`: the words a model is asked with, and the request they become."""

import argparse
import asyncio
import json
from pathlib import Path

from custom_ai import settings
from custom_ai.cli.arguments import Parsers, add_options, add_project, command, given
from custom_ai.cli.outcome import Outcome
from custom_ai.datasets import prompts
from custom_ai.datasets.generate import GenerateOptions
from custom_ai.datasets.preview import Preview, preview
from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.providers import provider as providers
from custom_ai.texts import t

_DEFAULT_PROVIDER = "extractive"


def register(samples: Parsers) -> None:
    """Add the commands to the group `samples`."""
    show = command(samples, "samples prompts", _prompts)
    add_project(show)
    show.add_argument("--name", choices=prompts.NAMES, help=t("cli.prompt_name"))
    show.add_argument("--file", type=Path, metavar="FILE", help=t("cli.prompt_file"))
    show.add_argument("--reset", action="store_true", help=t("cli.prompt_reset"))
    show.add_argument("--everywhere", action="store_true", help=t("cli.prompt_everywhere"))
    look = command(samples, "samples preview", _preview)
    add_project(look)
    look.add_argument(
        "--provider", choices=providers.names(), default=_DEFAULT_PROVIDER, help=t("cli.provider")
    )
    add_options(look, GenerateOptions)


def _prompts(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    where = None if args.everywhere else project
    if args.file or args.reset:
        if args.name is None:
            raise UserError("cli.prompt_name_missing", known=", ".join(prompts.NAMES))
        prompts.change(where, args.name, None if args.reset else _text(args.file))
    names = [args.name] if args.name else prompts.NAMES
    now = prompts.of(project)
    data = {name: {"text": now.template(name), "from": _origin(project, name)} for name in names}
    lines = [f"=== {name} ({t(f'cli.prompt_from_{_origin(project, name)}')})\n{now.template(name)}"
             for name in names]  # fmt: skip
    usable = dict.fromkeys(each for name in names for each in prompts.variables(name))
    about = t("cli.prompt_variables", known=" ".join(f"{{{name}}}" for name in usable))
    return Outcome(data, "\n".join([*lines, about]))


def _text(path: Path) -> str:
    """The template in a file; the error of one that is missing names it."""
    try:
        return path.expanduser().read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise UserError("cli.prompt_unreadable", path=path, reason=error) from error


def _origin(project: Project, name: str) -> str:
    if name in project.config.prompts:
        return "project"
    return "settings" if name in settings.load().prompts else "program"


def _preview(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    options = GenerateOptions.parse(given(args, GenerateOptions))
    return shown(asyncio.run(preview(project, args.provider, options, prompts.of(project))))


def shown(seen: Preview) -> Outcome:
    """The request as it would go over the wire; else the messages, and why there is no more."""
    data = {
        "filename": seen.filename, "prompt_version": seen.prompt_version, "url": seen.url,
        "headers": seen.headers, "body": seen.body,
        "messages": [vars(message) for message in seen.messages],
        "reason": seen.reason.as_json() if seen.reason else None,
    }  # fmt: skip
    lines = [t("cli.preview_of", filename=seen.filename, version=seen.prompt_version)]
    if seen.body is not None:
        headers = [f"{name}: {value}" for name, value in (seen.headers or {}).items()]
        body = json.dumps(seen.body, ensure_ascii=False, indent=2)
        return Outcome(data, "\n".join([*lines, f"POST {seen.url}", *headers, "", body]))
    lines.append(str(seen.reason) if seen.reason else t("cli.preview_nothing_sent"))
    lines += [f"\n[{message.role}]\n{message.content}" for message in seen.messages]
    return Outcome(data, "\n".join(lines))
