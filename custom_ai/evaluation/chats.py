"""The models in memory that many conversations share: a line before each, and few at a time."""

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from custom_ai.errors import UserError
from custom_ai.evaluation.chat import ModelChoice
from custom_ai.evaluation.chat_process import ChatProcess, Event
from custom_ai.models.chat_template import Messages

_TICK_SECONDS = 0.5

# The choice, and when its weights were last written: an export of the same name is another model.
_Key = tuple[ModelChoice, int]


@dataclass(eq=False)
class _Ticket:
    """One question in line."""

    key: _Key
    answering: bool = False


@dataclass
class _Loaded:
    """One model in memory. used: when its last answer ended, in seconds of a monotonic clock."""

    process: ChatProcess
    used: float


class Chats:
    """Answers questions to any model, from any number of threads.

    limit: how many models are in memory at most; the one that was not used for longest goes first.
    idle_seconds: after how long without a question a model goes, so that training has the memory.
    threads: per model; 0 takes the settings' number, else what suits the machine and the model.
    """

    def __init__(self, limit: int = 2, idle_seconds: float = 300.0, threads: int = 0) -> None:
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._threads = threads
        self._changed = threading.Condition()
        # In the order in which they came.
        self._tickets: list[_Ticket] = []
        self._models: dict[_Key, _Loaded] = {}
        self._tidier: threading.Thread | None = None
        self._closed = False

    def answer(
        self,
        choice: ModelChoice,
        messages: Messages,
        max_tokens: int = 256,
        temperature: float = 0.0,
        stop: threading.Event | None = None,
    ) -> Generator[Event]:
        """The answer as events: those of `ChatProcess.answer`, before them while others are first

        {"kind": "waiting", "ahead"}: again and again; ahead: how many questions come before

        A reader that leaves closes the generator: the answer is stopped and the next in line has
        its turn. Raises UserError as ChatProcess does, and when the app is being closed.
        """
        ticket = _Ticket((choice, _written(choice)))
        with self._changed:
            self._tickets.append(ticket)
        try:
            while not self._begins(ticket):
                if stop and stop.is_set():
                    yield _unanswered()
                    return
                yield {"kind": "waiting", "ahead": self._ahead(ticket)}
                self._wait(ticket)
            yield from self._model(ticket.key).answer(messages, max_tokens, temperature, stop)
        finally:
            self._leave(ticket)

    def close(self) -> None:
        """End all models; an answer on its way ends with a UserError."""
        with self._changed:
            self._closed = True
            models = list(self._models.values())
            self._models.clear()
            self._changed.notify_all()
        for model in models:
            model.process.close()
        if self._tidier:
            self._tidier.join()

    def _begins(self, ticket: _Ticket) -> bool:
        """Whether it is this ticket's turn; if so, it is answering from now on."""
        with self._changed:
            if self._closed:
                raise UserError("evaluation.closing")
            ticket.answering = ticket.answering or self._has_turn(ticket)
            return ticket.answering

    def _has_turn(self, ticket: _Ticket) -> bool:
        busy = {other.key for other in self._tickets if other.answering}
        # An idle model can always make room, so only answering ones count. Older tickets get their
        # place first: a model with a long line must not keep another one out for ever.
        for other in self._tickets:
            if other.answering or other.key in busy:
                continue
            if other is ticket:
                return len(busy) < self._limit
            busy.add(other.key)
        return False

    def _ahead(self, ticket: _Ticket) -> int:
        with self._changed:
            older = self._tickets[: self._tickets.index(ticket)]
            same = sum(other.key == ticket.key for other in older)
            # None before the same model: the places in memory are taken by others.
            return same or 1

    def _wait(self, ticket: _Ticket) -> None:
        with self._changed:
            if not self._closed and not self._has_turn(ticket):
                self._changed.wait(_TICK_SECONDS)

    def _leave(self, ticket: _Ticket) -> None:
        with self._changed:
            self._tickets.remove(ticket)
            if ticket.answering and ticket.key in self._models:
                self._models[ticket.key].used = time.monotonic()
            self._changed.notify_all()

    def _model(self, key: _Key) -> ChatProcess:
        """The process of this model; another one goes for it where there are too many."""
        with self._changed:
            if self._closed:
                raise UserError("evaluation.closing")
            gone = [] if key in self._models else self._take_out(self._limit - 1)
            process = ChatProcess(key[0], self._threads)
            model = self._models.setdefault(key, _Loaded(process, time.monotonic()))
            if self._tidier is None:
                self._tidier = threading.Thread(target=self._tidy, daemon=True)
                self._tidier.start()
        # Outside the lock: it can take a moment, and its memory must be free before the next loads.
        for old in gone:
            old.process.close()
        return model.process

    def _take_out(self, keep: int) -> list[_Loaded]:
        """Remove idle models until at most `keep` are left, those unused for longest first."""
        busy = {ticket.key for ticket in self._tickets if ticket.answering}
        idle = sorted(self._models.keys() - busy, key=lambda key: self._models[key].used)
        return [self._models.pop(key) for key in idle[: max(0, len(self._models) - keep)]]

    def _tidy(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed, self._idle_seconds / 10)
                if self._closed:
                    return
                busy = {ticket.key for ticket in self._tickets if ticket.answering}
                before = time.monotonic() - self._idle_seconds
                idle = [k for k, model in self._models.items() if model.used < before]
                gone = [self._models.pop(key) for key in idle if key not in busy]
            for model in gone:
                model.process.close()


def _written(choice: ModelChoice) -> int:
    """When the weights were written, in nanoseconds; 0 for a model of the hub or a missing file."""
    path = Path(choice.path)
    if choice.kind == "checkpoint":
        path = choice.adapter or path
    files = [path] if path.is_file() else path.glob("*.safetensors")
    return max((file.stat().st_mtime_ns for file in files), default=0)


def _unanswered() -> Event:
    """The end of an answer that was stopped before it began."""
    return {
        "kind": "done",
        "answer": "",
        "tokens": 0,
        "stopped": "stopped",
        "forgotten": 0,
        "seconds": 0.0,
        "tokens_per_second": 0.0,
    }
