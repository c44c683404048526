"""The port, on this computer only, and the server behind it."""

import logging
import socket
import sys
import threading

import psutil
import uvicorn

from custom_ai.errors import UserError
from custom_ai.ui.asgi import App

# The same at every start where it is free: open windows and bookmarks then keep working.
PREFERRED_PORT = 7788
_MOST_TRIES = 50

# Open windows hold streams that never end by themselves.
_GOODBYE_SECONDS = 1

_log = logging.getLogger(__name__)


def listen(port: int | None) -> socket.socket:
    """Take the port, or for None the first free one from PREFERRED_PORT on.

    From here on browsers can connect; they are answered as soon as the server runs. Raises
    UserError when the port is taken or may not be used.
    """
    if port is not None:
        try:
            return _bind(port)
        except PermissionError as error:
            raise UserError("ui_server.port_forbidden", port=port) from error
        except OSError as error:
            raise UserError("ui_server.port_taken", port=port, owner=_owner(port)) from error
    for candidate in range(PREFERRED_PORT, PREFERRED_PORT + _MOST_TRIES):
        try:
            return _bind(candidate)
        except OSError:
            _log.info("port %s is taken", candidate)
    raise UserError(
        "ui_server.no_port", first=PREFERRED_PORT, last=PREFERRED_PORT + _MOST_TRIES - 1
    )


def make(app: App) -> uvicorn.Server:
    """A server for `app`; `should_exit = True` ends it from another thread."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,  # as everything else, into our log
        access_log=False,  # it would hold the launch token
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GOODBYE_SECONDS,
    )
    return uvicorn.Server(config)


def run_in_thread(server: uvicorn.Server, listener: socket.socket) -> threading.Thread:
    """Serve beside the main thread, which a window of the operating system wants for itself."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
    thread.start()
    return thread


def _bind(port: int) -> socket.socket:
    # The protocol must be named: only then asyncio sends each answer at once (TCP_NODELAY), instead
    # of waiting up to 40 ms for the browser to confirm its first half.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":
            # There, SO_REUSEADDR would let another program take over our port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # After a crash the port is free at once, not after a minute.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _owner(port: int) -> str:
    """The program that listens on the port, or "?" where the system doesn't tell."""
    try:
        for connection in psutil.net_connections("tcp"):
            mine = connection.laddr and connection.laddr.port == port
            if mine and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f"{psutil.Process(connection.pid).name()} ({connection.pid})"
    except psutil.Error:
        _log.info("cannot see who listens on port %s", port)
    return "?"
