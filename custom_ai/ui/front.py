"""Answers from the first moment on: a splash while the app is loaded, then the app itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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

# After everything is closed: how long a thread may keep the process, then it ends regardless.
_LEAVE_SECONDS = 5.0


class Front:
    """The ASGI application that is served: loads the real one behind its back.

    `/ready` answers {"state": "loading" | "ready" | "failed"}, as soon as it is no longer loading.
    Until then pages are the splash and everything else gets 503. `create` runs in a thread: it
    imports what takes seconds. `failed` is called with what went wrong, so that the terminal can
    say it too. `lang`: the language that was chosen, or None for what the browser prefers.
    """

    def __init__(
        self,
        create: Callable[[], FastAPI],
        log: Path,
        failed: Callable[[UserError], None],
        lang: str | None = None,
    ) -> None:
        self._create = create
        self._log = log
        self._failed = failed
        self._lang = lang
        self._app: App | None = None
        self._error: UserError | None = None
        self._settled = asyncio.Event()
        self._closing = asyncio.Event()

    @property
    def state(self) -> Literal["loading", "ready", "failed"]:
        return "ready" if self._app else "failed" if self._error else "loading"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and scope["path"] == "/ready":
            await self._tell_state(send)
        elif self._app:
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
        self._settled.set()
        await living
        await send({"type": "lifespan.shutdown.complete"})

    async def _load_and_run(self) -> None:
        """The life of the real app: its own start and end are run as if it were served alone."""
        loaded = _in_thread(self._create)
        closing = asyncio.create_task(self._closing.wait())
        either: list[asyncio.Future[Any]] = [loaded, closing]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not loaded.done():
            return
        try:
            app = loaded.result()
            async with app.router.lifespan_context(app):
                self._app = app
                self._settled.set()
                await closing
        except Exception as error:
            self._explain(error)

    def _explain(self, error: Exception) -> None:
        _log.error("the app failed while it was %s", self.state, exc_info=error)
        if self.state == "loading":
            reason = f"{type(error).__name__}: {error}"
            self._error = from_exception(error) or UserError(
                "ui_server.failed", reason=reason, log=self._log
            )
            self._settled.set()
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


def _in_thread(create: Callable[[], FastAPI]) -> asyncio.Future[FastAPI]:
    """Run it beside the event loop, in a thread that keeps nobody from leaving."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[FastAPI] = loop.create_future()

    def deliver(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        # The loop may be closed by now, for nobody waited.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(set_outcome, outcome)

    def work() -> None:
        # Nearly all that is made while modules are imported stays for good. To search it for
        # garbage again and again would take a quarter of the time.
        gc.disable()
        try:
            deliver(future.set_result, create())
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
