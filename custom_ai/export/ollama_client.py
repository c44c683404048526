"""The part of Ollama's interface that makes models, spoken over HTTP to this or another machine."""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from custom_ai.errors import UserError

# The first version that makes a model from an uploaded file by this interface.
_OLDEST = (0, 5, 5)
_CONNECT_SECONDS = 10.0
# Quantising says nothing for long stretches.
_ANSWER_SECONDS = 900.0
_PIECE = 1 << 20

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}"
_NAME = re.compile(rf"(?:{_PART}/)?{_PART}(?::[\w.-]{{1,80}})?", re.ASCII)


def full_name(name: str) -> str:
    """The name with its tag; raises UserError for one Ollama would refuse."""
    plain = name.strip()
    if not _NAME.fullmatch(plain):
        raise UserError("export.ollama_name", name=name)
    return plain if ":" in plain else f"{plain}:latest"


class OllamaClient:
    """An Ollama at an address.

    Every method raises UserError when it can't be reached or refuses.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url.strip().rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise UserError("export.ollama_address", url=url.rpartition("@")[2])
        self._url = url
        self._parts = parts

    @property
    def is_here(self) -> bool:
        """Whether it runs on this very machine, so that its disk is ours."""
        host = str(self._parts.hostname)
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def require(self) -> None:
        """Raise UserError when nothing answers, something else than Ollama, or one too old."""
        said = self._json("GET", "/api/version").get("version")
        if not isinstance(said, str):
            raise UserError("export.ollama_other", url=self._url)
        numbers = tuple(int(n) for n in re.findall(r"\d+", said)[:3])
        # A build of one's own calls itself 0.0.0.
        if numbers and (0, 0, 0) < numbers < _OLDEST:
            oldest = ".".join(map(str, _OLDEST))
            raise UserError("export.ollama_old", version=said, oldest=oldest)

    def models(self) -> set[str]:
        """The names of the models it has, with their tags."""
        found = self._json("GET", "/api/tags").get("models")
        names = [m.get("name") for m in found if isinstance(m, dict)] if found else []
        return {name for name in names if isinstance(name, str)}

    def upload(self, file: Path, digest: str, progress: Callable[[int], None]) -> None:
        """Bring a file to it, unless it is there. progress: gets the bytes sent so far."""
        path = f"/api/blobs/{digest}"
        with self._asked("HEAD", path) as answer:
            if answer.status == 200:
                return
        with open(file, "rb") as stream, self._errors(), closing(self._connection()) as connection:
            connection.putrequest("POST", self._parts.path + path)
            connection.putheader("Content-Length", str(file.stat().st_size))
            connection.endheaders()
            sent = 0
            while piece := stream.read(_PIECE):
                connection.send(piece)
                sent += len(piece)
                progress(sent)
            _check(connection.getresponse())

    def create(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Make a model; gives what it says meanwhile. Success is only what it calls success."""
        last: dict[str, Any] = {}
        # Status 200 says nothing: what fails later comes as a line among the others.
        with closing(self._lines("/api/create", body)) as lines:
            for last in lines:
                if "error" in last:
                    raise _failure(str(last["error"]))
                yield last
        if last.get("status") != "success":
            raise UserError("export.ollama_gone", url=self._url, reason=last.get("status", "–"))

    def copy(self, source: str, target: str) -> None:
        """Give a model a second name, in place of the model that bore it."""
        self._json("POST", "/api/copy", {"source": source, "destination": target})

    def delete(self, model: str) -> None:
        """Remove a name, and the model with the last one."""
        self._json("DELETE", "/api/delete", {"model": model})

    def chat(self, model: str, messages: list[dict[str, str]], tokens: int) -> dict[str, Any]:
        """The likeliest answer, as Ollama returns it."""
        options = {"temperature": 0, "num_predict": tokens}
        body = {"model": model, "messages": messages, "stream": False, "options": options}
        answer = self._json("POST", "/api/chat", body)
        if "error" in answer:
            raise _failure(str(answer["error"]))
        return answer

    def _lines(self, path: str, body: dict[str, Any]) -> Generator[dict[str, Any]]:
        with self._asked("POST", path, body) as answer:
            _check(answer)
            while line := answer.readline():
                said = json.loads(line)
                if isinstance(said, dict):
                    yield said

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with self._asked(method, path, body) as answer:
            _check(answer)
            raw = answer.read()
            found = json.loads(raw) if raw.strip() else {}
        return found if isinstance(found, dict) else {}

    @contextmanager
    def _asked(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        with self._errors(), closing(self._connection()) as connection:
            connection.request(method, self._parts.path + path, data, headers)
            yield connection.getresponse()

    def _connection(self) -> http.client.HTTPConnection:
        secure = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(str(self._parts.hostname), self._parts.port, timeout=_CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(_ANSWER_SECONDS)
        return connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ConnectionRefusedError as error:
            raise UserError("export.ollama_not_there", url=self._url) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise UserError("export.ollama_gone", url=self._url, reason=reason) from error


def _check(answer: http.client.HTTPResponse) -> None:
    """Raise UserError with what a bad answer says."""
    if answer.status >= 300:
        raw = answer.read(65536)
        try:
            said = json.loads(raw)["error"]
        except (ValueError, KeyError, TypeError):
            said = f"HTTP {answer.status}"
        raise _failure(str(said))


def _failure(said: str) -> UserError:
    words = said.lower()
    if "no space left" in words or "not enough space" in words or "disk full" in words:
        return UserError("export.ollama_disk_full", reason=said[:300])
    return UserError("export.ollama_failed", reason=said[:300])
