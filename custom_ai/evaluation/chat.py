"""One question to a model of the project, from checkpoint or GGUF, with or without search."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from custom_ai.documents.language import language_of
from custom_ai.documents.search import search
from custom_ai.models.transformers_chat import TransformersChat
from custom_ai.projects.project import Project
from custom_ai.providers.local import LlamaCpp
from custom_ai.texts import t

_PASSAGES = 3


class Model(Protocol):
    """Something that answers a dialogue; greedy, so that the same question gets the same answer."""

    def reply(self, messages: list[dict[str, str]], max_tokens: int) -> "Reply": ...


@dataclass(frozen=True)
class Reply:
    """An answer. stopped: "end" when the model ended its turn, "length" when it was cut off."""

    text: str
    tokens: int
    stopped: str


@dataclass(frozen=True)
class Source:
    """A passage that was given to the model with the question."""

    filename: str
    page: int | None
    heading_path: list[str]
    text: str


@contextmanager
def from_checkpoint(path: str, adapter: Path | None, threads: int = 0) -> Iterator[Model]:
    """A base model with or without adapter, through transformers."""
    chat = TransformersChat(path, adapter, threads=threads)

    class Checkpoint:
        def reply(self, messages: list[dict[str, str]], max_tokens: int) -> Reply:
            answer = chat.answer(messages, max_new_tokens=max_tokens)
            return Reply(answer.text, answer.tokens, answer.stopped)

    yield Checkpoint()


@contextmanager
def from_gguf(path: Path, threads: int = 0) -> Iterator[Model]:
    """An exported GGUF, through llama.cpp in a process of its own."""
    with LlamaCpp(path, threads=threads) as llama:

        class Gguf:
            def reply(self, messages: list[dict[str, str]], max_tokens: int) -> Reply:
                answer = llama.chat(messages, max_tokens=max_tokens)
                return Reply(answer.text, len(answer.tokens), answer.stopped)

        yield Gguf()


def ask(
    model: Model, project: Project, question: str, retrieve: bool, max_tokens: int
) -> tuple[Reply, list[Source]]:
    """Ask one question; with `retrieve`, the best passages of the documents go with it."""
    sources = find_sources(project, question) if retrieve else []
    content = with_passages(question, sources) if sources else question
    return model.reply([{"role": "user", "content": content}], max_tokens), sources


def find_sources(project: Project, question: str) -> list[Source]:
    """The passages of the project's documents that fit the question best."""
    return [
        Source(hit.filename, hit.page, list(hit.heading_path), hit.chunk_text)
        for hit in search(project, question, _PASSAGES)
    ]


def with_passages(question: str, sources: Sequence[Source]) -> str:
    """The question with the passages before it."""
    passages = "\n\n".join(source.text for source in sources)
    # In the language of the question, whatever language the program speaks.
    lang = language_of(question) or None
    return t("evaluation.with_passages", lang, passages=passages, question=question)


def as_json(reply: Reply, sources: Sequence[Source], seconds: float) -> dict[str, Any]:
    """The shape of `chat --json`."""
    return {
        "answer": reply.text,
        "sources": [
            {"filename": s.filename, "page": s.page, "heading_path": s.heading_path}
            for s in sources
        ],
        "stopped": reply.stopped,
        "tokens": reply.tokens,
        "seconds": round(seconds, 2),
    }
