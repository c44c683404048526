"""`chat`: one question, or a conversation line by line."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from custom_ai.cli.arguments import Parsers, add_project, command
from custom_ai.cli.outcome import Outcome
from custom_ai.errors import UserError
from custom_ai.evaluation import chat
from custom_ai.evaluation.chat import Source
from custom_ai.evaluation.chat_process import ChatProcess
from custom_ai.models.chat_template import Messages
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs.model_choice import choose
from custom_ai.texts import t

# Begins a new conversation; the same word in every language.
_NEW = "/new"


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
    parser.add_argument("--max-tokens", type=_positive, default=256, help=t("cli.max_tokens"))


def _chat(args: argparse.Namespace) -> Outcome:
    project = projects.find(args.project)
    if args.json and not args.question:
        raise UserError("cli.question_missing")
    with closing(ChatProcess(choose(project, args.model, args.source))) as model:
        if args.question:
            started = time.monotonic()
            done, sources = _ask(model, project, args, args.question, [])
            return Outcome(chat.as_json(done, sources, time.monotonic() - started))
        print(t("cli.chat_started", new=_NEW), file=sys.stderr)
        _converse(model, project, args)
    return Outcome(None)


def _converse(model: ChatProcess, project: Project, args: argparse.Namespace) -> None:
    earlier: Messages = []
    for line in _lines():
        if line == _NEW:
            earlier = []
            print(t("cli.chat_new"), file=sys.stderr)
            continue
        done, _ = _ask(model, project, args, line, earlier)
        if done["forgotten"]:
            print(t("cli.chat_forgotten"), file=sys.stderr)
        earlier += [
            {"role": "user", "content": line},
            {"role": "assistant", "content": done["answer"]},
        ]


def _ask(
    model: ChatProcess,
    project: Project,
    args: argparse.Namespace,
    question: str,
    earlier: Messages,
) -> tuple[dict[str, Any], list[Source]]:
    """Put one question; without --json the answer appears as it is written."""
    messages, sources = chat.turn(project, question, earlier, args.rag)
    done: dict[str, Any] = {}
    loading = False
    with closing(model.answer(messages, args.max_tokens)) as events:
        for event in events:
            if event["kind"] == "text" and not args.json:
                print(event["text"], end="", flush=True)
            elif event["kind"] == "loading" and not loading and sys.stderr.isatty():
                loading = True
                print(t("cli.chat_loading"), file=sys.stderr)
            elif event["kind"] == "done":
                done = event
    if not args.json:
        print("\n".join(["", *_places(sources)]), flush=True)
    return done, sources


def _places(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        page = t("cli.page", page=source.page) if source.page is not None else ""
        place = " · ".join(part for part in (source.filename, page, *source.heading_path) if part)
        yield f"  [{place}]"


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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
