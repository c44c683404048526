"""One model in a child process: asked over pipes, stopped in the middle, started anew when dead."""

import contextlib
import itertools
import json
import queue
import threading
import time
from collections.abc import Generator
from typing import IO, Any

from custom_ai import child, settings
from custom_ai.errors import UserError
from custom_ai.evaluation.chat import ModelChoice
from custom_ai.models.chat_template import Messages

Event = dict[str, Any]

# How often an answer that says nothing gives its reader a moment: to look at a stop, to leave.
_TICK_SECONDS = 0.5
_LONGEST_LOG = 1_000_000


class ChatProcess:
    """A model that answers one question at a time; loaded by the first one. Close it in the end.

    threads: 0 takes the settings' number, else what suits the machine and the model.
    """

    def __init__(self, choice: ModelChoice, threads: int = 0) -> None:
        self._choice = choice
        self._threads = threads
        self._numbers = itertools.count(1)
        self._child: _Child | None = None

    def answer(
        self,
        messages: Messages,
        max_tokens: int = 256,
        temperature: float = 0.0,
        stop: threading.Event | None = None,
    ) -> Generator[Event]:
        """The answer to the last of the messages, as events:

        {"kind": "loading", "seconds"}: while the model comes into memory, again and again
        {"kind": "thinking", "seconds"}: while there is nothing new to say, again and again
        {"kind": "text", "text"}: a piece of the answer
        {"kind": "done", "answer", "tokens", "stopped": "end"|"length"|"stopped", "forgotten",
            "seconds", "tokens_per_second"}: last. forgotten: how many of the oldest messages
            were left out because the conversation is longer than the model can read

        stop: when it is set, the answer ends with "done" and what there is of it. Closing the
        generator stops the answer, too. Raises UserError, also when the process dies; the next
        question starts a new one.
        """
        living = self._living()
        number = next(self._numbers)
        ask = {"messages": messages, "max_tokens": max_tokens, "temperature": temperature}
        living.send({"ask": number, **ask})
        started = time.monotonic()
        answered = asked_to_stop = False
        try:
            if not living.loaded:
                yield {"kind": "loading", "seconds": 0.0}
            while not answered:
                if stop and stop.is_set() and not asked_to_stop:
                    living.send({"stop": number})
                    asked_to_stop = True
                event = living.next_event(_TICK_SECONDS)
                if event is None:
                    kind = "thinking" if living.loaded else "loading"
                    yield {"kind": kind, "seconds": round(time.monotonic() - started, 1)}
                # What was left of an answer that nobody wanted any more is passed over.
                elif event.pop("number", number) == number or event.get("ended"):
                    answered = event["kind"] in ("done", "error")
                    if event["kind"] == "error":
                        raise self._as_raised(event)
                    yield event
        finally:
            if not answered:
                living.send({"stop": number})

    def close(self) -> None:
        """End the process and give back its memory; an answer on its way is lost."""
        if self._child:
            self._child.close()

    def _living(self) -> "_Child":
        if self._child is None or not self._child.is_alive():
            self.close()
            self._child = _Child(self._choice, self._threads)
        return self._child

    def _as_raised(self, event: Event) -> UserError:
        if event.get("ended", True):
            self.close()
        return UserError(event["code"], **event["values"])


class _Child:
    """The process itself, and the thread that reads what it says."""

    def __init__(self, choice: ModelChoice, threads: int) -> None:
        self.loaded = False
        self._events: queue.Queue[Event] = queue.Queue()
        self._writing = threading.Lock()
        arguments = [choice.kind, choice.path, str(choice.adapter or ""), str(threads)]
        with _open_log() as log:
            self._process = child.start("custom_ai.evaluation.chat_worker", arguments, log)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, wish: dict[str, Any]) -> None:
        """Pass on a wish. A process that is gone says so itself, where its answer is read."""
        assert self._process.stdin is not None
        # ValueError: it was closed.
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(wish).encode() + b"\n")
            self._process.stdin.flush()

    def next_event(self, seconds: float) -> Event | None:
        """What it says next; None when it says nothing for so long."""
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return None
        if event["kind"] == "loaded":
            self.loaded = True
            return None
        return event

    def close(self) -> None:
        """End the process; one that hangs, by force."""
        with self._writing:
            child.ask_to_end(self._process)
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                # A process that was killed may have been in the middle of a line.
                if line.endswith(b"\n"):
                    self._events.put(json.loads(line))
        # The system keeps a dead process until somebody asks for its exit code.
        self._process.wait()
        self._events.put({"kind": "error", "code": "evaluation.model_died", "values": {}})


def _open_log() -> IO[bytes]:
    """Where the process and its libraries print; begun anew before it grows without end."""
    path = settings.home() / "logs" / "chat.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    too_long = path.exists() and path.stat().st_size > _LONGEST_LOG
    return open(path, "wb" if too_long else "ab")
