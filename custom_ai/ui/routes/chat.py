"""The conversation with base and tuned model. What was said lies in the window, not here."""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Generator
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse
from markupsafe import Markup
from pydantic import BaseModel, Field

from custom_ai.datasets.derive import current_samples
from custom_ai.datasets.sample import Sample, read_samples
from custom_ai.documents import chunks
from custom_ai.documents.language import STOP_WORDS
from custom_ai.errors import UserError
from custom_ai.evaluation import chat
from custom_ai.evaluation.chat import ModelChoice, Source
from custom_ai.models.chat_template import Messages
from custom_ai.texts import in_language, language, t
from custom_ai.ui import answers, candidates, journey
from custom_ai.ui.candidates import Side
from custom_ai.ui.here import Here, Json, Spoken, explain
from custom_ai.ui.render import render

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

router = APIRouter(
    prefix="/api/chat",
    route_class=Spoken,
    default_response_class=HTMLResponse,
    lifespan=answers.life,
)

_EXAMPLES = 3
_LONGEST = 100_000
# A word of this many letters also marks longer words that begin like it, as the search does.
_PREFIX_FROM = 4


class Said(BaseModel):
    """One message of the conversation so far."""

    role: Literal["user", "assistant"]
    content: str = Field(max_length=_LONGEST)


class Question(BaseModel):
    """A question to one side. model: which tuned model is meant, see `candidates.find`."""

    side: Side
    model: str = ""
    question: str = Field(min_length=1, max_length=_LONGEST)
    earlier: list[Said] = Field(default=[], max_length=1000)
    retrieve: bool = False


class Place(BaseModel):
    """Where a passage stands that was given with a question. mark: another text has another."""

    document: int
    chunk: int
    mark: str
    filename: str
    page: int | None
    heading_path: list[str]


class Problem(BaseModel):
    """Why there is no answer."""

    message: str
    hint: str = ""


class Answer(BaseModel):
    """What a window keeps of an answer. ended: "cut" when the window or the app went first."""

    question: str
    model: str = ""
    text: str = ""
    ended: Literal["end", "length", "stopped", "cut", "failed"] = "cut"
    tokens: int = 0
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    forgotten: int = 0
    places: list[Place] = []
    error: Problem | None = None


@router.get("/bar")
def bar(project: Here) -> str:
    """Who can be asked, and how."""
    found = candidates.tuned(project)
    return render(
        "chat_bar",
        created=project.config.created_at,
        tuned=found,
        documents=journey.look(project).documents,
    )


@router.get("/examples")
def examples(project: Here, turn: int = 0) -> str:
    """Some questions of the project, of which the right answer is known. turn: others each time."""
    groups: dict[str, list[Sample]] = {"train": [], "exam": []}
    for sample in read_samples(current_samples(project)):
        if sample.split in groups:
            groups[sample.split].append(sample)
    for found in groups.values():
        # The same order each time, so that every turn shows others.
        random.Random(1).shuffle(found)
        start = turn * _EXAMPLES % len(found) if found else 0
        found[:] = (found[start:] + found[:start])[:_EXAMPLES]
    return render("chat_examples", groups=groups, turn=turn)


@router.post("/answer")
def answer(asked: Question, project: Here) -> answers.Lines:
    """The answer of one side, as lines of JSON while it is written.

    "began": the id with which it can be stopped; "status": what it waits for, in words; "text": a
    piece; last "done": the Answer to keep, and its HTML.
    """
    name, choice = candidates.find(project, asked.side, asked.model)
    earlier = [said.model_dump() for said in asked.earlier]
    messages, sources = chat.turn(project, asked.question, earlier, asked.retrieve)
    kept = Answer(question=asked.question, model=name, places=[_place(s) for s in sources])
    return answers.Lines(_told(choice, messages, kept, language()))


@router.post("/stop/{name}", status_code=204)
def stop(name: str) -> None:
    """End an answer with what there is of it."""
    answers.stop(name)


@router.post("/shown", response_class=JSONResponse)
def shown(kept: list[Answer]) -> list[str]:
    """The answers a window kept, as HTML in the language it has now."""
    return [_html(each) for each in kept]


@router.get("/passage")
def passage(project: Here, document: int, chunk: int, mark: str, q: str = "") -> str:
    """A passage that was given to the model, with the words of the question highlighted."""
    found = chunks.page(project, document, chunk, 1).items
    if not found or _mark(found[0].text) != mark:
        raise UserError("ui_chat.passage_gone")
    return render("chat_passage", chunk=found[0], spans=_spans(found[0].text, q))


def _told(
    choice: ModelChoice, messages: Messages, kept: Answer, lang: str
) -> Generator[Json, None, None]:
    """The events of an answer as its window takes them; a failure is the last of them."""
    text = ""
    # Not around a yield: whoever runs this in between may speak another language.
    try:
        with closing(answers.ask(choice, messages)) as events:
            for event in events:
                text += event.get("text", "")
                with in_language(lang):
                    said = _said(event, kept)
                yield said
    except Exception as error:
        with in_language(lang):
            found = explain(error)
            problem = Problem(message=found.message, hint=found.hint)
            failed = kept.model_copy(update={"text": text, "ended": "failed", "error": problem})
            said = _done(failed)
        yield said


def _said(event: Json, kept: Answer) -> Json:
    match event["kind"]:
        case "began":
            return {**event, "model": kept.model}
        case "text":
            return event
        case "done":
            told = {name: event[name] for name in Answer.model_fields if name in event}
            update = {**told, "text": event["answer"], "ended": event["stopped"]}
            return _done(kept.model_copy(update=update))
    return {"kind": "status", "text": _in_words(event)}


def _in_words(event: Json) -> str:
    """What an answer that has not begun is waiting for."""
    if event["kind"] == "waiting":
        return t("ui_chat.waiting", ahead=event["ahead"])
    if event["kind"] == "loading":
        return t("ui_chat.loading", seconds=round(event["seconds"]))
    return t("ui_chat.thinking")


def _done(kept: Answer) -> Json:
    return {"kind": "done", "answer": kept.model_dump(), "html": _html(kept)}


def _html(kept: Answer) -> str:
    text = Markup(_markdown().render(kept.text))
    return render("chat_answer", answer=kept, text=text)


@cache
def _markdown() -> MarkdownIt:
    """Markdown for text of strangers: no HTML, no links, no pictures; they stay as they are."""
    from markdown_it import MarkdownIt

    found = MarkdownIt("commonmark", {"html": False}).enable("table")
    # Four spaces at the beginning of a line are seldom meant as program text.
    found.disable(["link", "image", "autolink", "reference", "html_block", "html_inline", "code"])
    # The headings of the page are its own.
    found.add_render_rule("heading_open", lambda *_: "<p><b>")
    found.add_render_rule("heading_close", lambda *_: "</b></p>")
    return found


def _place(source: Source) -> Place:
    return Place(
        document=source.document,
        chunk=source.chunk_index,
        mark=_mark(source.text),
        filename=source.filename,
        page=source.page,
        heading_path=source.heading_path,
    )


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _spans(text: str, question: str) -> list[tuple[int, int]]:
    """Where the telling words of the question stand in the text."""
    asked = {_folded(word) for word in re.findall(r"\w+", question)}
    telling = asked - {_folded(word) for word in STOP_WORDS} or asked
    starts = tuple(word for word in telling if len(word) >= _PREFIX_FROM)
    return [
        match.span()
        for match in re.finditer(r"\w+", text)
        if (word := _folded(match[0])) in telling or word.startswith(starts)
    ]


def _folded(word: str) -> str:
    """One spelling for all: "Straße", "STRASSE" and "Größe", "Groesse"."""
    plain = unicodedata.normalize("NFC", word).casefold()
    return plain.replace("ä", "ae").replace("ö", "oe").replace("ü", "ue")
