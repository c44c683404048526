"""Starts the app, or finds the one that is running, and shows it."""

from __future__ import annotations

import json
import secrets as random_source
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import uvicorn

from custom_ai import settings
from custom_ai.errors import UserError
from custom_ai.texts import LANGUAGES, language, t
from custom_ai.ui import environment, instance, server, window
from custom_ai.ui.front import Front, Made, Part
from custom_ai.ui.guard import Access, Guard

Show = Literal["browser", "window", "nothing"]

# A browser that ends sooner has handed its page to a window that was open already.
_HANDED_OVER_SECONDS = 3.0


def create_app() -> Made:
    """The real app; importing it takes time, all its routes take as much again, its pages more."""
    from custom_ai.ui import app, routes

    begun = app.begin()
    return Made(
        begun,
        ("/static/", *routes.FIRST.values()),
        (
            Part(("/api/",), lambda: app.complete(begun)),
            # The page this user will most likely see; the other one when somebody asks for it.
            Part(("/",), lambda: begun.state.pages.load(language())),
        ),
    )


def open_app(
    port: int | None = None,
    show: Show = "browser",
    as_json: bool = False,
    create: Callable[[], Made] = create_app,
) -> int:
    """Show the running app of this home, or start one and serve it until it is closed.

    port: exactly this one, or None for the usual one. as_json: print {"url", "port", "pid"} as one
    line at once, instead of words. create: makes the app, in a thread, while a splash is shown.
    Returns the exit code. Raises UserError when the port can't be had.
    """
    environment.prepare()
    with instance.alone():
        found = instance.running(port)
        listener = None if found else server.listen(port)
        session = instance.session_secret()
        if listener:
            me = instance.this_process(listener.getsockname()[1], random_source.token_urlsafe(32))
            instance.announce(me)
    if listener is None:
        assert found
        _show_running(found, Access(found.port, found.token, session), show, as_json)
        return 0
    try:
        _serve(listener, me, Access(me.port, me.token, session), show, as_json, create)
    finally:
        instance.withdraw(me)
    print(t("ui_server.closed"), file=sys.stderr)
    return 0


def _serve(
    listener: socket.socket,
    me: instance.Instance,
    access: Access,
    show: Show,
    as_json: bool,
    create: Callable[[], Made],
) -> None:
    log = environment.write_log(access.token, access.session)
    chosen = settings.load().language
    front = Front(create, log, _say_failure, chosen if chosen in LANGUAGES else None)
    served = server.make(Guard(front, access))
    with _signals_end(served):
        _say(t("ui_server.opened", url=access.url), me, access, as_json)
        if not as_json:
            print(t("ui_server.how_to_close"), flush=True)
        view = window.native_view() if show == "window" and window.has_screen() else None
        if view:
            _note(t("ui_server.window_native"))
            thread = server.run_in_thread(served, listener)
            window.show_native(view, access.url)
            served.should_exit = True
            thread.join()
            return
        opened = _show(access.url, show)
        if opened:
            threading.Thread(target=_follow, args=(opened, served), daemon=True).start()
        served.run(sockets=[listener])
        if opened and opened.poll() is None:
            opened.terminate()


def _show_running(found: instance.Instance, access: Access, show: Show, as_json: bool) -> None:
    _say(t("ui_server.running", url=access.url), found, access, as_json)
    view = window.native_view() if show == "window" and window.has_screen() else None
    if view:
        window.show_native(view, access.url)
    else:
        _show(access.url, show)


def _show(url: str, show: Show) -> subprocess.Popen[bytes] | None:
    """Open the address as wished; returns the process whose end means that it was closed."""
    if show == "nothing":
        return None
    if not window.has_screen():
        _note(t("ui_server.no_screen"))
        return None
    program = window.window_program() if show == "window" else None
    if program:
        _note(t("ui_server.window_browser", program=Path(program).stem))
        return window.open_as_window(program, url)
    if show == "window":
        _note(t("ui_server.window_default"))
    window.open_in_browser(url)
    return None


def _follow(opened: subprocess.Popen[bytes], served: uvicorn.Server) -> None:
    """Closing the window closes the app; a window that can't open leaves it to other browsers."""
    began = time.monotonic()
    if opened.wait() != 0:
        if not served.should_exit:
            _note(t("ui_server.window_failed"))
    elif time.monotonic() - began > _HANDED_OVER_SECONDS:
        served.should_exit = True


@contextmanager
def _signals_end(served: uvicorn.Server) -> Iterator[None]:
    """Ctrl-C and a polite kill end the server, before it listens to them itself and afterwards."""

    def end(*_: Any) -> None:
        served.should_exit = True

    before = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _say(words: str, one: instance.Instance, access: Access, as_json: bool) -> None:
    facts = {"url": access.url, "port": one.port, "pid": one.pid}
    print(json.dumps(facts) if as_json else words, flush=True)


def _note(words: str) -> None:
    # Beside the address, which programs may read from the other stream.
    print(words, file=sys.stderr, flush=True)


def _say_failure(error: UserError) -> None:
    _note(f"{t('ui_server.cannot_start')}: {error.message}\n  → {error.hint}")
