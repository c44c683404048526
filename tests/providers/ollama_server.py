"""An Ollama as people have it: what it says about itself and its models, and how it can fail."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def entry(name: str, family: str = "llama", **more: Any) -> dict[str, Any]:
    """One model in the answer to /api/tags."""
    return {
        "name": name,
        "model": name,
        "modified_at": "2026-10-01T10:00:00.000000000+02:00",
        "size": 1321098329,
        "digest": "baf6a787fdffd633537aa2eb51cfd54cb93ff08e28040095462bb63daf552878",
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": "1.2B",
            "quantization_level": "Q8_0",
        },
        **more,
    }


# What a server says instead of Ollama's answer: status and body.
FAULTS: dict[str, tuple[int, str]] = {
    "html": (200, "<html>It works</html>"),
    "empty": (200, ""),
    "no models": (200, '{"models": "none"}'),
    "not found": (404, "404 page not found"),
    "broken": (500, '{"error": "boom"}'),
    "list": (200, "[1, 2]"),
    "redirect": (302, ""),
}


@contextmanager
def ollama(models: list[dict[str, Any]], fault: str = "", wait: float = 0) -> Iterator[str]:
    """A server on this machine; gives its address. wait: seconds before it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(wait)
            version = self.path == "/api/version"
            status, body = 200, json.dumps({"version": "0.12.6"} if version else {"models": models})
            if fault and not (fault == "no models" and version):
                status, body = FAULTS[fault]
            data = body.encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        # A request of a client that no longer waits must not hold up the test.
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
