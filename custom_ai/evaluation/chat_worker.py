"""The child process around one model: loads it, answers questions, ends with its parent.

Usage: python -m custom_ai.evaluation.chat_worker KIND PATH ADAPTER THREADS

JSON lines on stdin: {"ask": number, "messages", "max_tokens", "temperature"} or {"stop": number}.
JSON lines on stdout: "loaded" once; to each question "text" as often as there is some, then "done"
or "error", each with the question's number. An error without a number, or with "ended", is this
process's last word. The process ends when stdin does, so it can't outlive a parent that was killed.
"""

import json
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from custom_ai import settings
from custom_ai.errors import UserError, from_exception
from custom_ai.evaluation.chat import Model, ModelChoice, Reply, fit, open_model
from custom_ai.models.chat_template import Messages
from custom_ai.texts import use_language

Json = dict[str, Any]


class Wishes:
    """What the parent wants, read in a thread of its own while the model works."""

    def __init__(self) -> None:
        self.questions: queue.Queue[Json] = queue.Queue()
        self._stopped: set[int] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def unwanted(self, number: int) -> bool:
        """Whether the parent no longer wants the answer to this question."""
        return number in self._stopped

    def _read(self) -> None:
        for line in sys.stdin:
            wish = json.loads(line)
            if "stop" in wish:
                self._stopped.add(wish["stop"])
            else:
                self.questions.put(wish)
        # Nobody waits for an answer any more, and there is nothing to save.
        os._exit(0)


def main(choice: ModelChoice, threads: int) -> int:
    """Load the model and answer until stdin ends; returns 1 when the model can't go on."""
    # Libraries print where they like; only our lines may reach the parent's pipe.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # No library may tell a hub that we are here.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    wishes = Wishes()
    try:
        chosen = settings.load().language
        use_language(None if chosen == "auto" else chosen)
        with open_model(choice, threads) as model:
            _say(stream, {"kind": "loaded"})
            while True:
                wish = wishes.questions.get()
                if not _answer(model, wish, wishes, stream):
                    return 1
    except Exception as error:
        _say(stream, _failure(error))
        return 1


def _answer(model: Model, wish: Json, wishes: Wishes, stream: TextIO) -> bool:
    """Answer one question; returns whether the model can answer another one."""
    number: int = wish["ask"]
    about = {"number": number}
    started = time.monotonic()
    try:
        messages, max_tokens = fit(model, wish["messages"], wish["max_tokens"])
    except UserError as error:
        ended = error.code != "evaluation.question_too_long"
        _say(stream, {**_failure(error), **about, "ended": ended})
        return not ended
    try:
        reply = _reply(model, messages, max_tokens, wish, wishes, stream)
    except Exception as error:
        # After a breakdown or without memory, a fresh process is the surest way on.
        _say(stream, {**_failure(error), **about, "ended": True})
        return False
    seconds = time.monotonic() - started
    done = {
        "kind": "done",
        "answer": reply.text,
        "tokens": reply.tokens,
        "stopped": reply.stopped,
        "forgotten": len(wish["messages"]) - len(messages),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(reply.tokens / seconds, 1) if seconds else 0.0,
    }
    _say(stream, {**done, **about})
    return True


def _reply(
    model: Model, messages: Messages, max_tokens: int, wish: Json, wishes: Wishes, stream: TextIO
) -> Reply:
    number: int = wish["ask"]
    # Whoever left while the model was loading must not keep the next one waiting.
    if wishes.unwanted(number):
        return Reply("", 0, "stopped")
    return model.reply(
        messages,
        max_tokens,
        wish["temperature"],
        lambda text: _say(stream, {"kind": "text", "number": number, "text": text}),
        lambda: wishes.unwanted(number),
    )


def _failure(error: Exception) -> Json:
    """The failure as code and values, which the parent says in its own language."""
    # To the log, with what llama.cpp or torch said last.
    traceback.print_exception(error)
    reason = f"{type(error).__name__}: {error}"
    log = settings.home() / "logs" / "chat.log"
    found = from_exception(error) or UserError("errors.unexpected", reason=reason, log=log)
    return {"kind": "error", "code": found.code, "values": found.values}


def _say(stream: TextIO, event: Json) -> None:
    stream.write(json.dumps(event) + "\n")
    stream.flush()


def _choice(kind: Any, path: str, adapter: str) -> ModelChoice:
    return ModelChoice(path, Path(adapter) if adapter else None, kind)


if __name__ == "__main__":
    sys.exit(main(_choice(*sys.argv[1:4]), int(sys.argv[4])))
