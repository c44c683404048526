"""`chat`: one question, or a conversation line by line."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from custom_ai.cli.arguments import Parsers, add_project, command
from custom_ai.cli.outcome import Outcome
from custom_ai.errors import UserError
from custom_ai.evaluation import chat
from custom_ai.evaluation.chat import Model
from custom_ai.models.catalogue import resolve
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs.run import all_runs
from custom_ai.runs.tasks import adapter_of, base_of, trained_run
from custom_ai.texts import t


def register(parsers: Parsers) -> None:
    """Add the command."""
    parser = command(parsers, "chat", _chat)
    add_project(parser)
    parser.add_argument("question", nargs="?", metavar="QUESTION", help=t("cli.question"))
    parser.add_argument(
        "--model", choices=("base", "tuned"), default="tuned", help=t("cli.chat_model")
    )
    parser.add_argument(
        "--from", dest="source", choices=("auto", "checkpoint", "gguf"), default="auto",
        help=t("cli.chat_from"),
    )  # fmt: skip
    parser.add_argument("--rag", action="store_true", help=t("cli.rag"))
    parser.add_argument("--max-tokens", type=int, default=256, help=t("cli.max_tokens"))


def _chat(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    if args.json and not args.question:
        raise UserError("cli.question_missing")
    with _open(project, args.model, args.source) as model:
        if args.question:
            return _answer(model, project, args, args.question)
        print(t("cli.chat_started"), file=sys.stderr)
        for line in _lines():
            print(_answer(model, project, args, line).text, flush=True)
    return Outcome(None)


def _answer(model: Model, project: Project, args: argparse.Namespace, question: str) -> Outcome:
    started = time.monotonic()
    reply, sources = chat.ask(model, project, question, args.rag, args.max_tokens)
    data = chat.as_json(reply, sources, time.monotonic() - started)
    lines = [reply.text]
    for source in sources:
        page = t("cli.page", page=source.page) if source.page is not None else ""
        place = " · ".join(part for part in (source.filename, page, *source.heading_path) if part)
        lines.append(f"  [{place}]")
    return Outcome(data, "\n".join(lines))


def _lines() -> Iterator[str]:
    """Questions from the terminal or a pipe, until the end of input."""
    while True:
        if sys.stdin.isatty():
            print("> ", end="", flush=True, file=sys.stderr)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _open(project: Project, name: str, source: str) -> AbstractContextManager[Model]:
    """The wished model: the newest GGUF of the tuned one when there is one, else a checkpoint."""
    if name == "base":
        if source == "gguf":
            raise UserError("cli.base_has_no_gguf")
        return chat.from_checkpoint(resolve(project.config.base_model).path, None)
    trained = trained_run(project)
    if source != "checkpoint":
        if gguf := _newest_gguf(project, trained.number):
            return chat.from_gguf(gguf)
        if source == "gguf":
            raise UserError("cli.no_gguf", project=project.slug)
    return chat.from_checkpoint(base_of(trained).path, adapter_of(trained))


def _newest_gguf(project: Project, train_run: int) -> Path | None:
    """The GGUF that was last exported from this training run."""
    for run in reversed(all_runs(project)):
        if run.task != "export" or run.state != "finished":
            continue
        options = run.request()["options"]
        if options["format"] == "gguf" and options["train_run"] == train_run:
            # By name, not by the path of that day: a project may have been moved since.
            old = Path((run.result() or {})["path"])
            path: Path = project.models / options["name"] / old.name
            if path.exists():
                return path
    return None
