"""A small app in place of the real one, to try how an app is served and guarded.

The folder in STAND_IN holds the switches of a test: with a file `gate` the app is made only when
the file is gone; `fails` holds the words it fails with. What it saw goes into the same folder.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from custom_ai.ui.front import Made


def folder() -> Path:
    return Path(os.environ["STAND_IN"])


def create_app() -> "Made":
    from custom_ai.ui.front import Made

    early = sorted({"gradio", "fastapi", "torch"} & set(sys.modules))
    (folder() / "imported-before").write_text(" ".join(early))
    while (folder() / "gate").exists():
        time.sleep(0.02)
    if (folder() / "fails").exists():
        raise RuntimeError((folder() / "fails").read_text())
    return Made(build())


def build() -> "FastAPI":
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import HTMLResponse, StreamingResponse

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        (folder() / "life").write_text("started")
        try:
            yield
        finally:
            (folder() / "life").write_text("ended")

    # As in the real app: paths of another application, mounted under a language.
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    step = asyncio.Event()
    touched: list[str] = []

    async def page() -> Response:
        return HTMLResponse("<title>the real page</title><h1>the real page</h1>")

    async def touch(request: Request) -> list[str]:
        touched.append(request.method)
        return touched

    async def size(request: Request) -> int:
        return len(await request.body())

    async def next_step() -> None:
        step.set()

    async def stream() -> Response:
        async def events() -> AsyncIterator[str]:
            yield "data: one\n\n"
            await step.wait()
            yield "data: two\n\n"
            await asyncio.Event().wait()

        return StreamingResponse(events(), media_type="text/event-stream")

    async def careless() -> Response:
        return Response("x", headers={"Content-Security-Policy": "default-src *"})

    inner.add_api_route("/gradio_api/upload", size, methods=["POST"])
    inner.add_api_route("/gradio_api/info", page)
    app.add_api_route("/", page)
    app.add_api_route("/touch", touch, methods=["GET", "POST", "DELETE"])
    app.add_api_route("/size", size, methods=["POST"])
    app.add_api_route("/events", stream)
    app.add_api_route("/next", next_step, methods=["POST"])
    app.add_api_route("/careless", careless)
    app.mount("/de", inner)
    return app


def create_in_parts() -> "Made":
    """Pages take until the file `pages` is there, most routes until `gate2` is gone."""
    from custom_ai.ui.front import Made, Part

    while (folder() / "gate").exists():
        time.sleep(0.02)
    app = build()

    async def api() -> str:
        return "answered"

    app.add_api_route("/api/touch", api)
    app.add_api_route("/api/other", api)

    def load_pages() -> None:
        while not (folder() / "pages").exists():
            time.sleep(0.02)
        if (folder() / "fails").exists():
            raise RuntimeError((folder() / "fails").read_text())

    def load_routes() -> None:
        while (folder() / "gate2").exists():
            time.sleep(0.02)

    first, more = ("/api/touch",), ("/api/", "/static/")
    return Made(app, first, (Part(more, load_routes), Part(("/",), load_pages)))


def create_gradio_app() -> "Made":
    """One page of real Gradio with the kinds of scripts the app has."""
    import gradio as gr
    from fastapi import FastAPI

    from custom_ai.ui.front import Made

    with gr.Blocks(analytics_enabled=False) as page:
        gr.HTML("before", elem_id="made", js_on_load="element.dataset.script = 'ran'")
        word = gr.Textbox(label="word", elem_id="word")
        button = gr.Button("Go", elem_id="go")
        loud = gr.Textbox(label="loud", elem_id="loud")
        button.click(str.upper, word, loud, api_visibility="private")
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(app, page, path="/de", footer_links=[], run_history=False, ssr_mode=False)
    return Made(app)
