"""A GGUF file that answers: the real llama.cpp, in a child process whose crash can't reach us."""

import contextlib
import http.client
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

from custom_ai.errors import UserError
from custom_ai.hardware import threads_for
from custom_ai.providers.gguf_header import read_header
from custom_ai.texts import t

Message = dict[str, str]

_LOAD_SECONDS = 600.0
_ANSWER_SECONDS = 600.0
_LOG_TAIL = 4000


class LlamaCppFailure(Exception):
    """The last words of llama.cpp, for the log; the UserError raised from it is for people."""


@dataclass(frozen=True)
class Completion:
    """What the model answered.

    tokens: the ids it chose, the one that ends the turn not among them.
    stopped: "end" when the model ended its turn itself, "length" when the limit cut it off.
    prompt_tokens: how many tokens the question took, template included.
    """

    text: str
    tokens: tuple[int, ...]
    stopped: Literal["end", "length"]
    prompt_tokens: int


@dataclass(frozen=True)
class Place:
    """One step of a probe.

    token: the id the model holds for likeliest.
    logprobs: id → natural logarithm of its probability, for the likeliest ones; empty where the
        token is a piece of a character, of which llama.cpp's server reports nothing.
    """

    token: int
    logprobs: dict[int, float]


def unavailable() -> str | None:
    """Why llama.cpp can't run here, or None."""
    if importlib.util.find_spec("xllamacpp") is None:
        return t("export.llama_missing")
    return None


class LlamaCpp:
    """One loaded model; use it as a context manager.

    threads: 0 takes the settings' number, else one for each physical core.
    context: the longest dialogue in tokens, never more than the model was made for.
    log: where llama.cpp's own messages go; a temporary file when None.
    Every method raises UserError when llama.cpp refuses, dies or takes too long.
    """

    def __init__(
        self, path: Path, threads: int = 0, context: int = 4096, log: Path | None = None
    ) -> None:
        self._path = path
        self._threads = threads
        self._context = context
        self._log_file = log
        self._key = secrets.token_urlsafe(32)
        self._address: tuple[str, int] = ("", 0)
        self._resources = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> "LlamaCpp":
        if reason := unavailable():
            raise UserError("export.llama_unavailable", reason=reason)
        header = read_header(self._path)
        context = min(self._context, header.context_length or self._context)
        try:
            self._start(context)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child process and give back what it held."""
        self._resources.close()

    def tokenize(self, text: str) -> list[int]:
        """The ids of a rendered dialogue, read as llama.cpp reads one: special tokens count."""
        body = {"content": text, "add_special": True, "parse_special": True}
        return [int(i) for i in self._post("/tokenize", body)["tokens"]]

    def render(self, messages: Sequence[Message]) -> str:
        """The dialogue in the words of the model's own chat template, open for its answer."""
        return str(self._post("/apply-template", {"messages": list(messages)})["prompt"])

    def complete(
        self,
        prompt: str | Sequence[int],
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Completion:
        """Continue a text or token ids."""
        answer = self._post(
            "/completion",
            {
                "prompt": prompt if isinstance(prompt, str) else list(prompt),
                "n_predict": max_tokens,
                "temperature": temperature,
                "seed": seed,
                "return_tokens": True,
            },
        )
        return Completion(
            text=answer["content"],
            tokens=tuple(answer["tokens"]),
            stopped="length" if answer["stop_type"] == "limit" else "end",
            prompt_tokens=answer["tokens_evaluated"],
        )

    def probe(self, prompt: Sequence[int], places: int, n_probs: int = 20) -> list[Place]:
        """Continue `prompt` by the likeliest tokens, past the end of a turn, and tell their odds.

        n_probs: how many of the likeliest tokens to report at each place.
        """
        found: list[Place] = []
        # One request a token: in a longer answer the reports can't be told apart.
        for _ in range(places):
            body = {
                "prompt": [*prompt, *(place.token for place in found)],
                "n_predict": 1,
                "temperature": 0,
                "ignore_eos": True,
                "n_probs": n_probs,
                "return_tokens": True,
            }
            answer = self._post("/completion", body)
            reports = answer.get("completion_probabilities", [])
            odds = reports[0]["top_logprobs"] if reports else []
            logprobs = {int(token["id"]): float(token["logprob"]) for token in odds}
            found.append(Place(answer["tokens"][0], logprobs))
        return found

    def chat(
        self, messages: Sequence[Message], max_tokens: int = 256, temperature: float = 0.0
    ) -> Completion:
        """Answer a dialogue with the model's own chat template."""
        return self.complete(self.tokenize(self.render(messages)), max_tokens, temperature)

    def _start(self, context: int) -> None:
        self._log = self._open_log()
        command = [sys.executable, "-m", "custom_ai.providers.llama_worker"]
        threads = threads_for(self._threads, self._path.stat().st_size)
        arguments = [str(self._path), str(threads), str(context)]
        package = str(Path(__file__).parents[2])
        search = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            command + arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": search, "PYTHONIOENCODING": "utf-8"},
        )
        self._resources.callback(_end, self._process)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(self._key.encode() + b"\n")
            self._process.stdin.flush()
        answer = self._first_line(self._process)
        if "address" not in answer:
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

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(*self._address, timeout=_ANSWER_SECONDS)
        try:
            with contextlib.closing(connection):
                connection.request("POST", path, json.dumps(body).encode(), headers)
                response = connection.getresponse()
                status, answer = response.status, json.loads(response.read())
        except TimeoutError as error:
            raise UserError(
                "export.llama_timeout", file=self._path.name, seconds=int(_ANSWER_SECONDS)
            ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure = LlamaCppFailure(self._last_words())
            failure.__cause__ = error
            raise UserError("export.llama_crashed", file=self._path.name) from failure
        if status != 200:
            raise self._refusal(answer.get("error", {}))
        return dict(answer)

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
    # Closing its stdin asks the worker to end; one that hangs is ended.
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
