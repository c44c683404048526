"""An Ollama with an embedding model: its vectors say which of a few subjects a text is about."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Words of one line mean the same, in two languages.
SUBJECTS = (
    ("hund", "dog", "welpe", "bellt"),
    ("miete", "rent", "mietzins", "wohnung"),
    ("garten", "garden", "rasen", "hecke"),
    ("schiff", "ship", "segel", "hafen"),
)


class EmbeddingServer:
    """What the server was asked, and how it answers.

    requests: the bodies. faults: answers (status, body) of the next requests, in order. longest:
    the most characters of an input. numbers: the length of its vectors.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.faults: list[tuple[int, str]] = []
        self.longest = 100_000
        self.numbers = len(SUBJECTS)
        self.on_request: Callable[[], None] = lambda: None

    @property
    def texts(self) -> list[str]:
        """Every text that was sent, in order."""
        return [text for body in self.requests for text in body["input"]]

    def answer(self, body: dict[str, Any]) -> tuple[int, str]:
        self.requests.append(body)
        self.on_request()
        if self.faults:
            return self.faults.pop(0)
        if any(len(text) > self.longest for text in body["input"]):
            assert body["truncate"] is False
            return 400, '{"error": "the input length exceeds the context length"}'
        found = [self.vector(text) for text in body["input"]]
        return 200, json.dumps({"model": body["model"], "embeddings": found})

    def vector(self, text: str) -> list[float]:
        words = re.findall(r"\w+", text.lower())
        # Every text has a direction, also one that is about nothing here.
        return [0.05 + sum(word in subject for word in words) for subject in SUBJECTS][
            : self.numbers
        ]


@contextmanager
def embedding_server() -> Iterator[EmbeddingServer]:
    """The server, on this machine."""
    state = EmbeddingServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/api/embed", self.path
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, text = state.answer(body)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        yield state
        server.shutdown()
