"""A conversation with a model of the project, from checkpoint or GGUF, with or without search."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from custom_ai.documents.hybrid import find
from custom_ai.documents.language import language_of
from custom_ai.errors import UserError
from custom_ai.models.chat_template import Messages
from custom_ai.models.transformers_chat import TransformersChat
from custom_ai.projects.project import Project
from custom_ai.providers.local import ANY_SEED, LlamaCpp
from custom_ai.texts import t

_PASSAGES = 3

Tell = Callable[[str], None]
ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class ModelChoice:
    """Which weights answer.

    path: of a checkpoint the folder or hub id, of a GGUF the file. adapter: goes on a checkpoint.
    """

    path: str
    adapter: Path | None = None
    kind: Literal["checkpoint", "gguf"] = "checkpoint"


@dataclass(frozen=True)
class Reply:
    """An answer.

    stopped: "end" when the model ended its turn, "length" when it was cut off, "stopped" when
    somebody asked for it.
    """

    text: str
    tokens: int
    stopped: Literal["end", "length", "stopped"]


class Model(Protocol):
    """A model in memory that answers conversations.

    Greedy at temperature 0, so that the same question gets the same answer. `tell` gets the answer
    piece by piece; `should_stop` is asked after each token.
    """

    @property
    def context(self) -> int | None:
        """The longest conversation in tokens, its answer included."""

    def count(self, messages: Messages) -> int:
        """How many tokens a conversation takes before its answer begins."""

    def reply(
        self,
        messages: Messages,
        max_tokens: int,
        temperature: float = 0.0,
        tell: Tell | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Reply:
        """Answer the last question of a conversation."""


@dataclass(frozen=True)
class Source:
    """A passage that was given to the model with the question.

    document: the number of the document as `library.list_all` shows it.
    """

    document: int
    filename: str
    page: int | None
    heading_path: list[str]
    chunk_index: int
    text: str


class _Checkpoint:
    def __init__(self, chat: TransformersChat) -> None:
        self._chat = chat
        self.context = chat.context
        self.count = chat.count

    def reply(
        self,
        messages: Messages,
        max_tokens: int,
        temperature: float = 0.0,
        tell: Tell | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Reply:
        answer = self._chat.answer(messages, max_tokens, temperature, tell, should_stop)
        return Reply(answer.text, answer.tokens, answer.stopped)


class _Gguf:
    def __init__(self, llama: LlamaCpp) -> None:
        self._llama = llama
        self.context = llama.context

    def count(self, messages: Messages) -> int:
        return len(self._llama.tokenize(self._llama.render(messages)))

    def reply(
        self,
        messages: Messages,
        max_tokens: int,
        temperature: float = 0.0,
        tell: Tell | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Reply:
        answer = self._llama.chat(
            messages,
            max_tokens,
            temperature,
            ANY_SEED,
            tell or (lambda text: None),
            should_stop or (lambda: False),
        )
        return Reply(answer.text, len(answer.tokens), answer.stopped)


def open_model(choice: ModelChoice, threads: int = 0) -> AbstractContextManager[Model]:
    """Bring the model into memory of this process (a GGUF: of a child of it)."""
    if choice.kind == "gguf":
        return from_gguf(Path(choice.path), threads)
    return from_checkpoint(choice.path, choice.adapter, threads)


@contextmanager
def from_checkpoint(path: str, adapter: Path | None, threads: int = 0) -> Iterator[Model]:
    """A base model with or without adapter, through transformers."""
    yield _Checkpoint(TransformersChat(path, adapter, threads=threads))


@contextmanager
def from_gguf(path: Path, threads: int = 0) -> Iterator[Model]:
    """An exported GGUF, through llama.cpp in a process of its own."""
    with LlamaCpp(path, threads=threads) as llama:
        yield _Gguf(llama)


def fit(model: Model, messages: Messages, max_tokens: int) -> tuple[Messages, int]:
    """What of a conversation fits into the model, and how long the answer may then be.

    The oldest turns go first; the newest question always stays. Raises UserError when it alone is
    too long.
    """
    size = model.count(messages)
    if model.context is None:
        return messages, max_tokens
    while size + max_tokens > model.context and len(messages) > 1:
        messages = messages[2:] if len(messages) > 2 else messages[1:]
        size = model.count(messages)
    if size >= model.context:
        raise UserError("evaluation.question_too_long", tokens=size, limit=model.context)
    return messages, min(max_tokens, model.context - size)


def turn(
    project: Project, question: str, earlier: Sequence[dict[str, str]] = (), retrieve: bool = False
) -> tuple[Messages, list[Source]]:
    """The conversation to put to a model for a new question, and the passages given with it.

    earlier: questions and answers as they were asked and given. Only the newest question gets
    passages: those of earlier ones would fill the model's memory.
    """
    sources = find_sources(project, question) if retrieve else []
    content = with_passages(question, sources) if sources else question
    return [*earlier, {"role": "user", "content": content}], sources


def find_sources(project: Project, question: str) -> list[Source]:
    """The passages of the project's documents that fit the question best.

    By words and by meaning, where the project has an embedding model and Ollama is there.
    """
    return [
        Source(
            document=hit.document,
            filename=hit.filename,
            page=hit.page,
            heading_path=list(hit.heading_path),
            chunk_index=hit.chunk_index,
            text=hit.chunk_text,
        )
        for hit in find(project, question, _PASSAGES).hits
    ]


def with_passages(question: str, sources: Sequence[Source]) -> str:
    """The question with the passages before it."""
    passages = "\n\n".join(source.text for source in sources)
    # In the language of the question, whatever language the program speaks.
    lang = language_of(question) or None
    return t("evaluation.with_passages", lang, passages=passages, question=question)


def as_json(done: dict[str, Any], sources: Sequence[Source], seconds: float) -> dict[str, Any]:
    """The shape of `chat --json`. done: the event that ended the answer."""
    return {
        "answer": done["answer"],
        "sources": [
            {"filename": s.filename, "page": s.page, "heading_path": s.heading_path}
            for s in sources
        ],
        "stopped": done["stopped"],
        "tokens": done["tokens"],
        "seconds": round(seconds, 2),
    }
