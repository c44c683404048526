"""Apps as processes of their own, and requests to them as exact as a test needs."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAM = (
    "import sys; from custom_ai.ui import launch; from tests.ui import stand_in;"
    "sys.exit(launch.open_app(int(sys.argv[1]), sys.argv[2], True, "
    "create=getattr(stand_in, sys.argv[3])))"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Answer:
    """A response with its whole body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A running app. home: its user folder; switches: the folder of tests.ui.stand_in."""

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        show: str = "nothing",
        create: str = "create_app",
        environment: Mapping[str, str] | None = None,
        program: str = PROGRAM,
    ) -> None:
        self.home = folder / "home"
        self.switches = folder
        self.errors = folder / "stderr.txt"
        variables = {
            **os.environ,
            "CUSTOM_AI_HOME": str(self.home),
            "STAND_IN": str(folder),
            **(environment or {}),
        }
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, str(port or free_port()), show, create],
                cwd=ROOT,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout
        self.facts = json.loads(self.process.stdout.readline() or "{}")
        assert self.facts, self.errors.read_text()

    @property
    def port(self) -> int:
        return int(self.facts["port"])

    @property
    def url(self) -> str:
        return str(self.facts["url"])

    @property
    def token(self) -> str:
        return self.url.partition("?t=")[2]

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    def cookie(self) -> str:
        """What a window sends that was opened by the launch token."""
        return self.ask("GET", f"/?t={self.token}").headers["set-cookie"].partition(";")[0]

    def wait_until_ready(self) -> str:
        """The cookie, as soon as the app behind the splash answers."""
        cookie = self.cookie()
        while self.ask("GET", "/ready", {"Cookie": cookie}).json["state"] == "loading":
            pass
        return cookie

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        chunked: bool = False,
    ) -> Answer:
        """Send exactly these headers (and a Host, if none is given); the whole answer."""
        connection, response = self.open(method, path, headers, body, chunked)
        try:
            return Answer(response)
        finally:
            connection.close()

    def open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        chunked: bool = False,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """As ask, for an answer that is read while it comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Host": f"127.0.0.1:{self.port}", **(headers or {})}
        if chunked:
            sent["Transfer-Encoding"] = "chunked"
        connection.request(method, path, body, sent, encode_chunked=chunked)
        return connection, connection.getresponse()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask the process to end; its exit code."""
        self.process.send_signal(how)
        return self.process.wait(30)
