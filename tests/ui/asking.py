"""Some of the app's routes on a real port, asked as a window asks them."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlencode

import uvicorn
from fastapi import APIRouter, FastAPI


@dataclass(frozen=True)
class Answer:
    """What came back. headers: by their names in small letters."""

    status: int
    headers: dict[str, str]
    text: str


class Window:
    """A window that shows a project, in a language."""

    def __init__(self, port: int, **said: str) -> None:
        self._port = port
        self._said = {"hx-request": "true", **{f"x-{name}": value for name, value in said.items()}}

    def get(self, path: str) -> Answer:
        """Fetch a part of the page."""
        return self.send("GET", path)

    def post(self, path: str, **form: str) -> Answer:
        """Send a form."""
        kind = "application/x-www-form-urlencoded"
        return self.send("POST", path, urlencode(form).encode(), {"content-type": kind})

    def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send anything."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, body, {**self._said, **(headers or {})})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read().decode("utf-8"))
        finally:
            connection.close()


@contextmanager
def serving(*routers: APIRouter) -> Iterator[int]:
    """Serve these routes; gives the port."""
    app = FastAPI()
    for router in routers:
        app.include_router(router)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", log_config=None, ws="none"))
        work = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        work.start()
        listener.listen(16)
        yield int(listener.getsockname()[1])
        server.should_exit = True
        work.join(20)
