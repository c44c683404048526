"""The child process around llama.cpp: started, asked over loopback, and its death put in words."""

import contextlib
import http.client
import json
import os
import secrets as random_source
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any

from custom_ai import child, secrets
from custom_ai.errors import UserError
from custom_ai.hardware import threads_for

_LOAD_SECONDS = 600.0
_ANSWER_SECONDS = 600.0
_LOG_TAIL = 4000


class LlamaCppFailure(Exception):
    """The last words of llama.cpp, for the log; the UserError raised from it is for people."""


class LlamaProcess:
    """One model in a process of its own; `start` it before asking, `close` it in the end.

    threads, log, adapter: as in LlamaCpp. Every method raises UserError when llama.cpp refuses,
    dies or takes too long.
    """

    def __init__(
        self, path: Path, threads: int, log: Path | None, adapter: Path | None = None
    ) -> None:
        self._path = path
        self._adapter = adapter
        self._threads = threads
        self._log_file = log
        self._key = random_source.token_urlsafe(32)
        self._address: tuple[str, int] = ("", 0)
        self._resources = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, known once it was started: llama.cpp's own server on loopback."""
        host, port = self._address
        return f"http://{host}:{port}"

    @property
    def key(self) -> secrets.Secret:
        """What requests must carry, so that no other program of this machine can ask."""
        return secrets.Secret(self._key)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End the child process and give back what it held."""
        self._resources.close()

    def start(self, context: int) -> None:
        """Load the model for dialogues of up to `context` tokens."""
        self._log = self._open_log()
        threads = threads_for(self._threads, self._path.stat().st_size)
        arguments = [str(self._path), str(threads), str(context)]
        arguments += [str(self._adapter)] if self._adapter else []
        self._process = child.start("custom_ai.providers.llama_worker", arguments, self._log)
        self._resources.callback(_end, self._process)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(self._key.encode() + b"\n")
            self._process.stdin.flush()
        answer = self._first_line(self._process)
        if "address" not in answer:
            # llama.cpp writes its log from a thread of its own: all of it is there once it ended.
            _end(self._process)
            raise UserError(
                "export.llama_does_not_load", file=self._path.name
            ) from LlamaCppFailure(self._last_words())
        host, port = answer["address"]
        self._address = (host, port)

    def _open_log(self) -> IO[bytes]:
        if self._log_file:
            return self._resources.enter_context(open(self._log_file, "ab+"))
        return self._resources.enter_context(tempfile.TemporaryFile())

    def _first_line(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """The worker's one line, or {} when it died; raises UserError when it takes too long."""
        # Windows can't wait for a pipe with a time limit; ending the process ends the wait.
        hurry = threading.Timer(_LOAD_SECONDS, process.kill)
        hurry.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
        finally:
            hurry.cancel()
        answer: dict[str, Any] = json.loads(line) if line else {}
        return answer

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One question, one answer."""
        with self._asked(path, body) as response:
            answer: dict[str, Any] = json.loads(response.read())
        return answer

    def stream(self, path: str, body: dict[str, Any]) -> Generator[dict[str, Any]]:
        """One question whose answer comes in parts; closing the generator ends the answer."""
        with self._asked(path, {**body, "stream": True}) as response:
            while line := response.readline():
                # Server-sent events: `data: {…}`, with an empty line after each.
                name, _, value = line.decode("utf-8").partition(": ")
                if name not in ("data", "error"):
                    continue
                part: dict[str, Any] = json.loads(value)
                if name == "error" or "error" in part:
                    raise self._refusal(part.get("error", part))
                yield part
                if part["stop"]:
                    return
            raise http.client.IncompleteRead(b"")

    @contextlib.contextmanager
    def _asked(self, path: str, body: dict[str, Any]) -> Iterator[http.client.HTTPResponse]:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(*self._address, timeout=_ANSWER_SECONDS)
        try:
            with contextlib.closing(connection):
                connection.request("POST", path, json.dumps(body).encode(), headers)
                response = connection.getresponse()
                if response.status != 200:
                    raise self._refusal(json.loads(response.read()).get("error", {}))
                yield response
        except TimeoutError as error:
            raise UserError(
                "export.llama_timeout", file=self._path.name, seconds=int(_ANSWER_SECONDS)
            ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure = LlamaCppFailure(self._last_words())
            failure.__cause__ = error
            raise UserError("export.llama_crashed", file=self._path.name) from failure

    def _refusal(self, error: dict[str, Any]) -> UserError:
        if error.get("type") == "exceed_context_size_error":
            return UserError(
                "export.llama_context", tokens=error.get("n_prompt_tokens"), limit=error["n_ctx"]
            )
        reason = error.get("message", "")
        return UserError("export.llama_refuses", file=self._path.name, reason=reason)

    def _last_words(self) -> str:
        if self._log is None or self._log.closed:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_TAIL))
        return self._log.read().decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    process.stdout.close()
    child.ask_to_end(process)
