"""An Ollama that takes uploads and makes models, with the failures seen on a real one.

What it has to say it says with the real llama.cpp, from the bytes it was sent.
"""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from custom_ai.providers.local import LlamaCpp
from tests.export.go_template import render


@dataclass
class StandIn:
    """A running one.

    models: what each was made with. fault: how the next step fails. calls: what was asked.
    prefers_file: whether the template in the GGUF file is used where one was sent as well, as a
    real one does for templates that speak of thoughts.
    """

    url: str
    blobs: Path
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    fault: str = ""
    version: str = "0.33.0"
    calls: list[str] = field(default_factory=list)
    prefers_file: bool = False


@contextmanager
def stand_in(folder: Path) -> Iterator[StandIn]:
    """Run one on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._say(200 if (state.blobs / _plain(self.path)).exists() else 404)

        def do_GET(self) -> None:
            state.calls.append(self.path)
            if self.path == "/api/version":
                self._say(200, {"version": state.version})
            else:
                self._say(200, {"models": [{"name": name} for name in state.models]})

        def do_DELETE(self) -> None:
            name = self._body()["model"]
            state.calls.append(f"delete {name}")
            found = state.models.pop(name, None)
            self._say(
                200 if found else 404, {} if found else {"error": f"model '{name}' not found"}
            )

        def do_POST(self) -> None:
            if self.path.startswith("/api/blobs/"):
                return self._take()
            body = self._body()
            state.calls.append(self.path)
            if self.path == "/api/create":
                return self._create(body)
            if self.path == "/api/copy":
                state.models[body["destination"]] = state.models[body["source"]]
                return self._say(200)
            return self._chat(body)

        def _take(self) -> None:
            length, name = int(self.headers["Content-Length"]), _plain(self.path)
            if state.fault == "gone while uploading":
                self.rfile.read(min(length, 100_000))
                self.connection.close()
                return
            data = self.rfile.read(length)
            if state.fault == "disk full":
                return self._say(500, {"error": "write blobs: no space left on device"})
            assert hashlib.sha256(data).hexdigest() == name.removeprefix("sha256-")
            if state.fault != "missing blob":
                (state.blobs / name).write_bytes(data)
            self._say(201)

        def _create(self, body: dict[str, Any]) -> None:
            (digest,) = body["files"].values()
            lines: list[dict[str, Any]] = [{"status": "parsing GGUF"}]
            if not (state.blobs / digest.replace(":", "-")).exists():
                lines.append({"error": f'blob "{digest}" not found'})
            elif state.fault == "failure in the stream":
                lines.append({"error": "llama-quantize: unsupported tensor"})
            else:
                lines.append({"status": "quantizing", "total": 10, "completed": 4})
                lines.append({"status": "writing manifest"})
                if state.fault != "gone while creating":
                    state.models[body["model"]] = body
                    lines.append({"status": "success"})
            if state.fault == "fails late":
                lines[-1] = {"error": "verifying conversion: checksum"}
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.end_headers()
            for line in lines:
                self.wfile.write(json.dumps(line).encode() + b"\n")

        def _chat(self, body: dict[str, Any]) -> None:
            made = state.models[body["model"]]
            (digest,) = made["files"].values()
            with LlamaCpp(state.blobs / digest.replace(":", "-"), threads=1) as model:
                if "template" in made and not state.prefers_file:
                    text = render(made["template"], body["messages"], made.get("system", ""))
                else:
                    text = model.render(body["messages"])
                said = model.complete(model.tokenize(text), body["options"]["num_predict"])
            answer = _up_to(said.text, made["parameters"]["stop"])
            ended = said.stopped == "end" or answer != said.text
            reason = "stop" if ended and state.fault != "talks on" else "length"
            self._say(
                200,
                {
                    "message": {"role": "assistant", "content": answer},
                    "done": True,
                    "done_reason": reason,
                    "prompt_eval_count": said.prompt_tokens,
                },
            )

        def _body(self) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return found

        def _say(self, status: int, body: dict[str, Any] | None = None) -> None:
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    blobs = folder / "ollama-blobs"
    shutil.rmtree(blobs, ignore_errors=True)
    blobs.mkdir(parents=True)
    with Server(("127.0.0.1", 0), Handler) as server:
        state = StandIn(f"http://127.0.0.1:{server.server_port}", blobs)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield state
        server.shutdown()


def _up_to(text: str, stops: list[str]) -> str:
    """What stands before the first of the texts that end an answer."""
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]


def _plain(path: str) -> str:
    return path.rpartition("/")[2].replace(":", "-")
