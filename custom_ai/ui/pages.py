"""The page of each language as a Gradio app of its own, built when a window first asks for it.

Nobody reads two languages at once: to build the second page would only delay the first. Gradio
itself is imported with the first page, since that takes most of the time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from starlette.routing import BaseRoute

from custom_ai.texts import LANGUAGES
from custom_ai.ui import gradio_import
from custom_ai.ui.asgi import Receive, Scope, Send, answer
from custom_ai.ui.opening import Opening

_CLOSED: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}


class Pages:
    """An ASGI application that answers `/<language>/…`."""

    def __init__(self) -> None:
        self._built: dict[str, FastAPI] = {}
        self._opened: dict[str, Opening] = {}
        self._alive: set[str] = set()
        self._building = {lang: asyncio.Lock() for lang in LANGUAGES}
        self._closing = asyncio.Event()
        self._lives: list[asyncio.Task[None]] = []

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes of the pages built so far."""
        return [route for built in self._built.values() for route in built.routes]

    def load(self, lang: str) -> None:
        """Build the page of one language before anybody asks for it."""
        built = _build(lang)
        self._built[lang], self._opened[lang] = built, Opening(built, lang)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lang = scope["path"].split("/")[1]
        if lang not in LANGUAGES:
            await answer(send, 404, b"Not found", "text/plain")
            return
        await self._page(lang)
        await self._opened[lang](scope, receive, send)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """The life of all pages ends with that of the app they belong to."""
        try:
            yield
        finally:
            self._closing.set()
            await asyncio.gather(*self._lives)

    async def _page(self, lang: str) -> None:
        """Have the page of a language built and running."""
        async with self._building[lang]:
            if lang not in self._built:
                await to_thread.run_sync(self.load, lang)
            if lang not in self._alive:
                alive = asyncio.get_running_loop().create_future()
                # What a task began, the same task must end.
                self._lives.append(asyncio.create_task(self._live(self._built[lang], alive)))
                await alive
                self._alive.add(lang)

    async def _live(self, app: FastAPI, alive: asyncio.Future[None]) -> None:
        try:
            async with app.router.lifespan_context(app):
                alive.set_result(None)
                await self._closing.wait()
        except Exception as error:
            if alive.done():
                raise
            alive.set_exception(error)


def _build(lang: str) -> FastAPI:
    gradio_import.without_stubs()
    import gradio as gr

    from custom_ai.ui import page
    from custom_ai.ui.theme import theme

    app = FastAPI(**_CLOSED)
    gr.mount_gradio_app(
        app,
        page.build(lang),
        path=f"/{lang}",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        show_error=False,
        enable_monitoring=False,
        theme=theme(),
        app_kwargs=dict(_CLOSED),  # Gradio writes into it
    )
    return app
