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
from functools import cache
from typing import Any, Self

from aiohttp import web

from tests.providers.ollama_server import entry

KEY = "sk-or-v1-planted0123456789abcdef"
OLLAMA_MODELS = ("qwen3:4b", "llama3.2:latest", "thinker:latest")

GOOD = {"supported": 5, "answers": 5, "clear": 4, "reason": "Nichts auszusetzen."}

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
    "400_context": (
        400, {}, {"error": {"code": 400, "message": "This endpoint's maximum context length is 4096"
                  " tokens. However, you requested about 9000 tokens."}},
    ),
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

# Whatever can happen to a request, short of what ends a run.
SURVIVABLE = (
    "400", "403_moderation", "408", "409", "413", "422", "425", "429", "429_number",
    "429_negative", "429_junk", "429_date", "429_reset", "500", "502_html", "503", "504",
    "200_error", "200_rate_error", "200_text_error", "html", "empty", "list", "nan", "huge_number",
    "deep", "no_choices", "wrong_types", "choice_error", "reset",
    "reset_in_body", "short_body", "gzip_bomb", "huge_reply", "drip", "hang", "prose", "cut",
    "empty_content", "refusal", "no_pairs", "wrong_pairs", "surrogates",
)  # fmt: skip

# What may happen to any request without ending the run, for mixed runs.
PASSING = (
    "429", "429_number", "500", "502_html", "503", "200_error", "html", "empty", "no_choices",
    "reset", "reset_in_body", "short_body", "prose", "cut", "empty_content",
)  # fmt: skip


def openrouter_model(name: str, prompt: str, completion: str) -> dict[str, Any]:
    """One entry of OpenRouter's list; prices are texts, in US dollars per token."""
    return {
        "id": name, "canonical_slug": name, "name": name.title(), "created": 1767225600,
        "description": "", "context_length": 32768, "hugging_face_id": None,
        "architecture": {"modality": "text->text", "tokenizer": "Other", "instruct_type": None},
        "pricing": {
            "prompt": prompt, "completion": completion, "request": "0", "image": "0",
            "internal_reasoning": "0",
        },
        "top_provider": {
            "context_length": 32768, "max_completion_tokens": 8192, "is_moderated": False,
        },
        "per_request_limits": None, "expiration_date": None,
        "supported_parameters": ["max_tokens", "temperature", "structured_outputs"],
    }  # fmt: skip


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
        hang: float = 10.0,
        port: int = 0,
    ) -> None:
        self.script = list(script)
        self.faults = faults
        self.share = share
        self.delay = delay
        self.hang = hang
        self.held = 0.0
        self.port = port
        # Passages with more characters do not fit into the model's context.
        self.too_long: int | None = None
        self.requests: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.under_way = self.most_under_way = 0
        self.always = ""
        # A passage that breaks the server each time it is asked about.
        self.breaking: str | None = None
        # The models that Ollama holds in its memory.
        self.loaded: list[str] = []
        # What GET /models and GET /key say.
        self.models: list[dict[str, Any]] = [openrouter_model("maker/model", "0", "0")]
        self.account: dict[str, Any] = {
            "label": "sk-or-v1-pla...def", "limit": None, "limit_remaining": None, "usage": 0.25,
            "usage_daily": 0.1, "is_free_tier": True,
            "free_model_daily_requests": {"limit": 50, "used": 8, "remaining": 42},
        }  # fmt: skip
        self.on_answer: Callable[[], None] = lambda: None
        # How samples are scored: a verdict about each question, or None to leave one out. And how
        # often each was.
        self.verdict: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda row: GOOD
        self.judged: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._deck: list[str] = []
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
        app.router.add_get("/api/version", self._version)
        app.router.add_get("/api/v1/models", self._models)
        app.router.add_get("/api/v1/key", self._about_key)
        app.router.add_post("/api/v1/auth/keys", self._give_key)
        app.router.add_post("/api/show", self._show)
        app.router.add_get("/api/ps", self._ps)
        app.router.add_post("/api/generate", self._unload)
        runner = web.AppRunner(app, shutdown_timeout=0)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _tags(self, _: web.Request) -> web.Response:
        return web.json_response({"models": [entry(name) for name in OLLAMA_MODELS]})

    async def _ps(self, _: web.Request) -> web.Response:
        return web.json_response({"models": [entry(name) for name in self.loaded]})

    async def _unload(self, request: web.Request) -> web.Response:
        """All that is asked of it here: a request without a prompt, to let a model go."""
        body = await request.json()
        if "prompt" in body or body["keep_alive"] != 0 or body["model"] not in self.loaded:
            return web.json_response({"error": "not expected"}, status=400)
        self.loaded.remove(body["model"])
        return web.json_response({
            "model": body["model"], "created_at": "2026-11-01T10:00:00Z", "response": "",
            "done": True, "done_reason": "unload",
        })  # fmt: skip

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "0.32.3"})

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": self.models})

    async def _about_key(self, request: web.Request) -> web.Response:
        self.keys.add(request.headers.get("Authorization", ""))
        if self.script:
            status, headers, body = STATUSES[self.script.pop(0)]
            return web.json_response(body, status=status, headers=headers)
        return web.json_response({"data": self.account})

    async def _give_key(self, request: web.Request) -> web.Response:
        """The end of a sign-in: the code "good" gives the key."""
        if (await request.json())["code"] == "good":
            return web.json_response({"key": KEY})
        refused = {"error": {"code": 403, "message": "Invalid code"}}
        return web.json_response(refused, status=403)

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
                "id": "gen-1767225600-x", "object": "chat.completion", "created": 1767225600,
                "provider": "Somebody", "model": "maker/model-2026",
                "choices": [{
                    "index": 0, "finish_reason": "length" if cut else "stop",
                    "native_finish_reason": "stop", "logprobs": None,
                    "message": {
                        "role": "assistant", "content": text, "refusal": None, "reasoning": None,
                    },
                }],
                "usage": {
                    "prompt_tokens": 300, "completion_tokens": 80, "total_tokens": 380,
                    "cost": 0.0001, "is_byok": False,
                    "cost_details": {"upstream_inference_cost": None},
                    "prompt_tokens_details": {"cached_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 0},
                },
            }  # fmt: skip

        return await self._handle(request, reply)

    async def _ollama(self, request: web.Request) -> web.StreamResponse:
        def reply(text: str, cut: bool) -> dict[str, Any]:
            return {
                "model": "qwen3:4b",
                "created_at": "2026-11-01T10:00:00.000000000Z",
                "message": {"role": "assistant", "content": text},
                "total_duration": 900_000_000,
                "load_duration": 90_000_000,
                "prompt_eval_duration": 10_000_000,
                "eval_duration": 800_000_000,
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
        began = time.monotonic()
        try:
            await asyncio.sleep(self.delay * self._random.uniform(0.5, 1.5))
            fault = "500" if passage == self.breaking else self._next_fault()
            if self.too_long and len(passage) > self.too_long:
                fault = "400_context"
            self.served[fault] += 1
            if fault:
                return await self._fail(request, fault, reply)
            self.answered[passage] += 1
            self.on_answer()
            if "verdicts" in json.dumps(body.get("response_format") or body.get("format")):
                return web.json_response(reply(self._verdicts(asked), False))
            return web.json_response(reply(_answer(asked, passage), False))
        finally:
            self.under_way -= 1
            self.held += time.monotonic() - began

    def _verdicts(self, asked: str) -> str:
        """Scores for the samples of a request; they stand between its last two fences."""
        found = re.findall(r"^(=====.*=====)\n(.*?)\n\1$", asked, re.DOTALL | re.MULTILINE)
        verdicts = []
        for row in map(json.loads, found[-1][1].splitlines()):
            if (said := self.verdict(row)) is not None:
                self.judged[row["question"]] += 1
                verdicts.append({"number": row["number"], **said})
        return json.dumps({"verdicts": verdicts}, ensure_ascii=False)

    def _next_fault(self) -> str:
        if self.script:
            return self.script.pop(0)
        if self.always:
            return self.always
        if self._random.random() >= self.share:
            return ""
        # Like cards: every kind comes before one comes again.
        self._deck = self._deck or self._random.sample(self.faults, len(self.faults))
        return self._deck.pop()

    async def _fail(
        self, request: web.Request, fault: str, reply: Callable[[str, bool], dict[str, Any]]
    ) -> web.StreamResponse:
        if fault == "429_reset":
            headers = {"X-RateLimit-Reset": str(int(1000 * time.time() + 200))}
            return web.json_response({"error": {"code": 429}}, status=429, headers=headers)
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
            "no_verdicts": '{"verdicts": []}',
            "wrong_verdicts": '{"verdicts": [1, {"number": 1, "supported": 9}, {"number": "1"}]}',
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
                await response.write(_bomb())
            elif fault == "huge_reply":
                for _ in range(20):
                    await response.write(b" " * 1_000_000)
            elif fault == "drip":
                for _ in range(100):
                    await response.write(b" ")
                    await asyncio.sleep(self.hang / 100)
            elif fault == "hang":
                await asyncio.sleep(self.hang)
            else:
                assert fault in ("reset_in_body", "short_body"), fault
                await response.write(b'{"choices": [')
        # The client may have hung up by now.
        if request.transport is not None:
            request.transport.abort()
        return response


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * 60_000_000)


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
