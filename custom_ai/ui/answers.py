"""Answers as they are written: the models behind all windows, and one answer as a stream of lines.

The models live in processes of their own, and none is started before the first question.
"""

import json
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing, asynccontextmanager, closing
from typing import Any

from anyio import CancelScope, CapacityLimiter, to_thread
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from custom_ai.errors import UserError
from custom_ai.evaluation.chat import ModelChoice
from custom_ai.evaluation.chats import Chats
from custom_ai.models.chat_template import Messages

Json = dict[str, Any]

# Long enough for a page of text; a small model that repeats itself ends here.
MOST_TOKENS = 512

_gate = threading.Lock()
_chats: Chats | None = None
# Whoever knows the name of an answer may stop it; only its own window is told.
_stops: dict[str, threading.Event] = {}


def ask(choice: ModelChoice, messages: Messages) -> Generator[Json]:
    """The events of `Chats.answer`, before them {"kind": "began", "id"}: what `stop` takes.

    Closing the generator stops the answer. Raises UserError as `Chats.answer` does.
    """
    name, stop = secrets.token_urlsafe(16), threading.Event()
    _stops[name] = stop
    chats = _open()
    try:
        yield {"kind": "began", "id": name}
        with closing(chats.answer(choice, messages, MOST_TOKENS, stop=stop)) as events:
            yield from events
    except UserError as error:
        if chats is not _chats:
            # They were put away meanwhile: what broke off is no fault of the model.
            raise UserError("ui_chat.put_away") from error
        raise
    finally:
        del _stops[name]


def stop(name: str) -> None:
    """End an answer with what there is of it; one that has ended stays as it is."""
    if event := _stops.get(name):
        event.set()


def put_away() -> None:
    """End all models, so that nothing holds the files of a project any more.

    Answers on their way end with a UserError; the next question starts anew.
    """
    global _chats
    with _gate:
        chats, _chats = _chats, None
    if chats:
        chats.close()


@asynccontextmanager
async def life(app: FastAPI) -> AsyncIterator[None]:
    """The models end with the app."""
    yield
    await to_thread.run_sync(put_away)


def _open() -> Chats:
    global _chats
    with _gate:
        _chats = _chats or Chats()
        return _chats


class Lines(StreamingResponse):
    """Events as lines of JSON; the generator is closed when the window leaves, too."""

    def __init__(self, events: Generator[Json]) -> None:
        self._lines = _lines(events)
        super().__init__(
            self._lines, media_type="application/x-ndjson", headers={"cache-control": "no-store"}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._lines):
            await super().__call__(scope, receive, send)


async def _lines(events: Generator[Json]) -> AsyncGenerator[str]:
    # Events keep a thread waiting: with a limit of its own, none is missing for other routes.
    own = CapacityLimiter(1)
    try:
        while (event := await to_thread.run_sync(next, events, None, limiter=own)) is not None:
            yield json.dumps(event) + "\n"
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(events.close, limiter=own)
