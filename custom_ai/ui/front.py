"""Answers from the first moment on, while the app is being loaded behind its back.

It is loaded in parts. How the work stands can be told after less than a second, so open windows go
on showing it; then comes what else they ask for. What a new window shows is made of Gradio, which
takes some seconds more; until then it is a splash.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from custom_ai.errors import UserError, from_exception
from custom_ai.texts import in_language, t
from custom_ai.ui import plain_page, warming
from custom_ai.ui.asgi import (
    App,
    Receive,
    Scope,
    Send,
    answer,
    answer_json,
    language_of,
    wants_page,
)

if TYPE_CHECKING:
    from fastapi import FastAPI

_log = logging.getLogger(__name__)

# How long a question for the state waits for a change before it is answered all the same.
_READY_SECONDS = 10.0

# How long what an open window asks for waits for its answer while the app is loaded, so that the
# window shows how the work stands in the moment that can be told.
_HELD_SECONDS = 2.0

# After everything is closed: how long a thread may keep the process, then it ends regardless.
_LEAVE_SECONDS = 5.0


_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True)
class Part:
    """More of the app. answers: how the paths begin that are answered when `load` is done."""

    answers: tuple[str, ...]
    load: Callable[[], None]


@dataclass(frozen=True)
class Made:
    """The real app. answers: how the paths begin that it answers before its parts are loaded."""

    app: FastAPI
    answers: tuple[str, ...] = ("/",)
    parts: tuple[Part, ...] = ()


class Front:
    """The ASGI application that is served: loads the real one.

    `/ready` answers {"state": "loading" | "ready" | "failed"}, as soon as it is no longer loading.
    Until then pages are the splash, and everything that is not answered yet gets 503. `create`
    runs in a thread, and so does what it gives. `failed` is called with what went wrong, so that
    the terminal can say it too. `lang`: the language that was chosen, or None for what the browser
    prefers.
    """

    def __init__(
        self,
        create: Callable[[], Made],
        log: Path,
        failed: Callable[[UserError], None],
        lang: str | None = None,
    ) -> None:
        self._create = create
        self._log = log
        self._failed = failed
        self._lang = lang
        self._app: App | None = None
        self._answers: tuple[str, ...] = ()
        self._more = asyncio.Condition()
        self._is_whole = False
        self._error: UserError | None = None
        self._settled = asyncio.Event()
        self._closing = asyncio.Event()

    @property
    def state(self) -> Literal["loading", "ready", "failed"]:
        return "failed" if self._error else "ready" if self._is_whole else "loading"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] == "http" and scope["path"].startswith("/api/") and not self._is_whole:
            with contextlib.suppress(TimeoutError):  # then it is told to come again
                await asyncio.wait_for(self._wait_for(scope["path"]), _HELD_SECONDS)
        if scope["type"] == "http" and scope["path"] == "/ready":
            await self._tell_state(send)
        elif self._app and scope["path"].startswith(self._answers):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1013})
        else:
            await self._splash(scope, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        living = asyncio.create_task(self._load_and_run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        _leave_even_if_a_thread_hangs()
        self._closing.set()
        await self._settle()
        await living
        await send({"type": "lifespan.shutdown.complete"})

    async def _load_and_run(self) -> None:
        """The life of the real app: its own start and end are run as if it were served alone."""
        closing = asyncio.create_task(self._closing.wait())
        try:
            made = await _unless(closing, _in_thread(self._create))
            if made is None:
                return
            async with made.app.router.lifespan_context(made.app):
                self._app = made.app
                await self._grow(made.answers)
                for part in made.parts:
                    await _unless(closing, _in_thread(part.load))
                    if closing.done():
                        return
                    await self._grow(part.answers)
                self._is_whole = True
                await self._settle()
                await closing
        except Exception as error:
            await self._explain(error)

    async def _grow(self, beginnings: tuple[str, ...]) -> None:
        """From now on, answer the paths that begin like this, too."""
        async with self._more:
            self._answers += beginnings
            self._more.notify_all()

    async def _wait_for(self, path: str) -> None:
        """Until the path is answered, or it is known that it won't be."""
        async with self._more:
            await self._more.wait_for(
                lambda: self._settled.is_set() or path.startswith(self._answers)
            )

    async def _settle(self) -> None:
        """Nothing more is coming, for good or bad."""
        self._settled.set()
        await self._grow(())

    async def _explain(self, error: Exception) -> None:
        _log.error("the app failed while it was %s", self.state, exc_info=error)
        if self.state == "loading":
            reason = f"{type(error).__name__}: {error}"
            self._error = from_exception(error) or UserError(
                "ui_server.failed", reason=reason, log=self._log
            )
            # Its life has ended: nobody is handed to it any more.
            self._app = None
            await self._settle()
            self._failed(self._error)

    async def _tell_state(self, send: Send) -> None:
        with contextlib.suppress(TimeoutError):  # still loading, and so it is told
            await asyncio.wait_for(self._settled.wait(), _READY_SECONDS)
        await answer_json(send, 200, {"state": self.state})

    async def _splash(self, scope: Scope, send: Send) -> None:
        lang = self._lang or language_of(scope)
        if file := warming.find(scope["path"]):
            body, kind, cache = file
            await answer(send, 200, body, kind, cache=cache)
        elif not wants_page(scope):
            # Programs and open windows come again; the app says the rest when it is there.
            await answer_json(send, 503, {"state": self.state}, more=[("retry-after", "1")])
        elif self._error:
            with in_language(lang):
                lines = [self._error.message, self._error.hint, t("ui_server.log", log=self._log)]
                page = plain_page.render(lang, t("ui_server.cannot_start"), lines)
            await answer(send, 500, page)
        else:
            title, line = (t(f"ui_server.{key}", lang=lang) for key in ("starting", "moment"))
            await answer(send, 200, plain_page.render(lang, title, [line], waits=True))


async def _unless(closing: asyncio.Task[Any], loaded: asyncio.Future[_Loaded]) -> _Loaded | None:
    """What is loaded; None when everything is closed before it is."""
    either: list[asyncio.Future[Any]] = [loaded, closing]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    return loaded.result() if loaded.done() else None


def _in_thread(load: Callable[[], _Loaded]) -> asyncio.Future[_Loaded]:
    """Run it beside the event loop, in a thread that keeps nobody from leaving."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Loaded] = loop.create_future()

    def deliver(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        # The loop may be closed by now, for nobody waited.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(set_outcome, outcome)

    def work() -> None:
        # Nearly all that is made while modules are imported stays for good. To search it for
        # garbage again and again would take a quarter of the time.
        gc.disable()
        try:
            deliver(future.set_result, load())
        except Exception as error:
            deliver(future.set_exception, error)
        except SystemExit as error:
            # A library that wants to end the process: here it is one more failure to tell.
            deliver(future.set_exception, RuntimeError(f"SystemExit: {error}"))
        finally:
            gc.freeze()
            gc.enable()

    threading.Thread(target=work, name="load-app", daemon=True).start()
    return future


def _leave_even_if_a_thread_hangs() -> None:
    """A library's call that does not return must not keep the process; runs have their own."""
    timer = threading.Timer(_LEAVE_SECONDS, os._exit, [0])
    timer.daemon = True
    timer.start()
