"""A server that speaks like OpenRouter and like Ollama, and fails in every way it is told to.

Runs in a thread of its own, counts what it is asked, and answers each passage with sentences of
that passage, so that good answers pass the checks.
"""

import asyncio
import contextlib
import gzip
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Self

from aiohttp import web

KEY = "sk-or-v1-planted0123456789abcdef"
OLLAMA_MODELS = ("qwen3:4b", "llama3.2:latest", "thinker:latest")

STATUSES: dict[str, tuple[int, dict[str, str], Any]] = {
    "400": (400, {}, {"error": {"code": 400, "message": "bad parameter"}}),
    "400_model": (400, {}, {"error": {"code": 400, "message": "x/y is not a valid model ID"}}),
    "401": (401, {}, {"error": {"code": 401, "message": f"No user for {KEY}"}}),
    "402": (402, {}, {"error": {"code": 402, "message": "Insufficient credits"}}),
    "403": (403, {}, {"error": {"code": 403, "message": f"key {KEY} is limited"}}),
    "403_moderation": (
        403, {}, {"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["x"]}}},
    ),
    "404": (404, {}, {"error": {"code": 404, "message": "No endpoints found"}}),
    "405": (405, {}, "Method Not Allowed"),
    "408": (408, {}, {"error": {"code": 408, "message": "timeout"}}),
    "409": (409, {}, {"error": {"code": 409, "message": "conflict"}}),
    "413": (413, {}, {"error": {"code": 413, "message": "too large"}}),
    "422": (422, {}, {"error": {"code": 422, "message": "unprocessable"}}),
    "425": (425, {}, {"error": {"code": 425, "message": "too early"}}),
    "429": (429, {}, {"error": {"code": 429, "message": "slow down"}}),
    "429_number": (429, {"Retry-After": "0.05"}, {"error": {"code": 429, "message": "slow"}}),
    "429_negative": (429, {"Retry-After": "-5"}, {"error": {"code": 429, "message": "slow"}}),
    "429_junk": (429, {"Retry-After": "soon"}, {"error": {"code": 429, "message": "slow"}}),
    "429_huge": (429, {"Retry-After": "86400"}, {"error": {"code": 429, "message": "tomorrow"}}),
    "500": (500, {}, {"error": {"code": 500, "message": "internal"}}),
    "502_html": (502, {"Content-Type": "text/html"}, "<html>Bad gateway</html>"),
    "503": (503, {}, {"error": {"code": 503, "message": "no provider"}}),
    "504": (504, {}, {"error": {"code": 504, "message": "timeout"}}),
    "200_error": (200, {}, {"error": {"code": 502, "message": "provider died"}}),
    "200_rate_error": (200, {}, {"error": {"code": 429, "message": "slow down"}}),
    "200_text_error": (200, {}, {"error": "something went wrong"}),
    "html": (200, {"Content-Type": "text/html"}, "<html>Please log in</html>"),
    "empty": (200, {}, ""),
    "list": (200, {}, [1, 2, 3]),
    "nan": (200, {}, '{"choices": [{"message": {"content": "x"}}], "usage": {"cost": NaN}}'),
    "huge_number": (200, {}, '{"choices": ' + "9" * 5000 + "}"),
    "deep": (200, {}, "[" * 100_000),
    "no_choices": (200, {}, {"choices": []}),
    "wrong_types": (200, {}, {"choices": "none", "usage": [], "message": 3, "done": "yes"}),
    "choice_error": (200, {}, {"choices": [{"error": {"code": 502, "message": "died"}}]}),
    "out_of_memory": (500, {}, {"error": "model requires more system memory (9 GiB)"}),
    "redirect": (302, {"Location": "http://127.0.0.1:9/stolen"}, ""),
}  # fmt: skip

# What may happen to any request without ending the run, for mixed runs.
PASSING = (
    "429", "429_number", "500", "502_html", "503", "200_error", "html", "empty", "no_choices",
    "reset", "reset_in_body", "short_body", "prose", "cut", "empty_content",
)  # fmt: skip


class FaultServer:
    """`script` names what happens to the next requests, in order; after that each request meets a
    fault of `faults` with the probability `share`. `requests` counts by passage."""

    def __init__(
        self,
        script: tuple[str, ...] = (),
        faults: tuple[str, ...] = (),
        share: float = 0.0,
        seed: int = 0,
        delay: float = 0.0,
    ) -> None:
        self.script = list(script)
        self.faults = faults
        self.share = share
        self.delay = delay
        self.requests: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.under_way = self.most_under_way = 0
        self.always = ""
        self.on_answer: Callable[[], None] = lambda: None
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def total(self) -> int:
        return sum(self.requests.values())

    @property
    def openrouter(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def ollama(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go away, as a server that is switched off does."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/api/v1/chat/completions", self._openrouter)
        app.router.add_post("/api/chat", self._ollama)
        app.router.add_get("/api/tags", self._tags)
        app.router.add_post("/api/show", self._show)
        runner = web.AppRunner(app, shutdown_timeout=0)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port: int = runner.addresses[0][1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _tags(self, _: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": name} for name in OLLAMA_MODELS]})

    async def _show(self, request: web.Request) -> web.Response:
        thinks = (await request.json())["model"].startswith("thinker")
        return web.json_response(
            {
                "capabilities": ["completion", *(["thinking"] if thinks else [])],
                "model_info": {"qwen3.context_length": 40960},
            }
        )

    async def _openrouter(self, request: web.Request) -> web.StreamResponse:
        def reply(text: str, cut: bool) -> dict[str, Any]:
            return {
                "model": "maker/model-2026",
                "choices": [
                    {"message": {"content": text}, "finish_reason": "length" if cut else "stop"}
                ],
                "usage": {"prompt_tokens": 300, "completion_tokens": 80, "cost": 0.0001},
            }

        return await self._handle(request, reply)

    async def _ollama(self, request: web.Request) -> web.StreamResponse:
        def reply(text: str, cut: bool) -> dict[str, Any]:
            return {
                "message": {"role": "assistant", "content": text},
                "done": True,
                "done_reason": "length" if cut else "stop",
                "prompt_eval_count": 300,
                "eval_count": 80,
            }

        return await self._handle(request, reply)

    async def _handle(
        self, request: web.Request, reply: Callable[[str, bool], dict[str, Any]]
    ) -> web.StreamResponse:
        self.keys.add(request.headers.get("Authorization", ""))
        body = await request.json()
        self.bodies.append(body)
        asked = body["messages"][-1]["content"]
        passage = _passage(asked)
        self.requests[passage] += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.delay * self._random.uniform(0.5, 1.5))
            fault = self._next_fault()
            self.served[fault] += 1
            if fault:
                return await self._fail(request, fault, reply)
            self.answered[passage] += 1
            self.on_answer()
            return web.json_response(reply(_answer(asked, passage), False))
        finally:
            self.under_way -= 1

    def _next_fault(self) -> str:
        if self.script:
            return self.script.pop(0)
        if self.always:
            return self.always
        return self._random.choice(self.faults) if self._random.random() < self.share else ""

    async def _fail(
        self, request: web.Request, fault: str, reply: Callable[[str, bool], dict[str, Any]]
    ) -> web.StreamResponse:
        if fault == "429_date":
            headers = {"Retry-After": formatdate(time.time() + 1, usegmt=True)}
            return web.json_response({"error": {"code": 429}}, status=429, headers=headers)
        if fault in STATUSES:
            status, headers, body = STATUSES[fault]
            text = body if isinstance(body, str) else json.dumps(body)
            given = {"Content-Type": "application/json", **headers}
            return web.Response(status=status, headers=given, body=text.encode())
        texts = {
            "prose": "Here are your questions!",
            "cut": '{"pairs": [{"instruction": "What is',
            "empty_content": "",
            "refusal": "I'm sorry, but I can't help with that.",
            "no_pairs": '{"pairs": []}',
            "wrong_pairs": '{"pairs": [1, "two", {"instruction": 3}]}',
            "surrogates": '{"pairs": [{"instruction": "Was ist das \\ud800 hier genau?",'
            ' "output": "Das ist \\udfff ein Zeichen.", "quote": "", "kind": "\\u0000"}]}',
            "echo": json.dumps(
                {"pairs": [{"instruction": f"Was ist {KEY} genau?", "output": f"Es ist {KEY}."}]}
            ),
        }
        if fault in texts:
            return web.json_response(reply(texts[fault], fault == "cut"))
        if fault == "not_done":
            return web.json_response({**reply("x", False), "done": False})
        if fault == "full_context":
            return web.json_response({**reply('{"pairs": []}', False), "prompt_eval_count": 10**6})
        if fault == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return await self._fail_slowly(request, fault)

    async def _fail_slowly(self, request: web.Request, fault: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if fault == "gzip_bomb":
            response.headers["Content-Encoding"] = "gzip"
        if fault == "short_body":
            response.content_length = 5000
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            if fault == "gzip_bomb":
                await response.write(gzip.compress(b" " * 60_000_000))
            elif fault == "huge_reply":
                for _ in range(20):
                    await response.write(b" " * 1_000_000)
            elif fault == "drip":
                for _ in range(100):
                    await response.write(b" ")
                    await asyncio.sleep(0.1)
            elif fault == "hang":
                await asyncio.sleep(10)
            else:
                assert fault in ("reset_in_body", "short_body"), fault
                await response.write(b'{"choices": [')
        assert request.transport is not None
        request.transport.abort()
        return response


def _passage(asked: str) -> str:
    found = re.search(r"^(=====.*=====)\n(.*?)\n\1$", asked, re.DOTALL | re.MULTILINE)
    return found[2] if found else asked


def _answer(asked: str, passage: str) -> str:
    """Pairs about sentences of the passage that were not asked about before."""
    wanted = re.search(r"(?:Number of questions|Anzahl der Fragen): (\d+)", asked)
    count = int(wanted[1]) if wanted else 1
    pairs: list[dict[str, str]] = []
    for sentence in re.findall(r"[^.!?]+[.!?]", passage):
        sentence = " ".join(sentence.split())
        question = f"Was gilt hier: {' '.join(sentence.split()[:7])} …?"
        if question not in asked and len(pairs) < count:
            pairs.append(
                {"instruction": question, "output": sentence, "quote": sentence, "kind": "fact"}
            )
    return json.dumps({"pairs": pairs}, ensure_ascii=False)
