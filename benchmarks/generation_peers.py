"""Other clients that ask a language model: alone, and as a provider of a whole generation.

Peers that are not installed are left out: pip install openai ollama httpx.
"""

import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from custom_ai.datasets.prompts import SCHEMA
from custom_ai.providers.provider import (
    Message,
    ProviderOptions,
    Reply,
    Request,
    Terms,
    Usage,
    find,
)

# Sends one request and waits for the answer.
Ask = Callable[[Request], Awaitable[Reply]]

FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": dict(SCHEMA)},
}


@asynccontextmanager
async def openai(url: str, parallel: int) -> AsyncIterator[Ask]:
    library: Any = importlib.import_module("openai")
    async with library.AsyncOpenAI(base_url=f"{url}/api/v1", api_key="sk-benchmark") as client:

        async def ask(request: Request) -> Reply:
            reply = await client.chat.completions.create(
                model="m", messages=_messages(request), max_tokens=request.max_tokens,
                temperature=request.temperature, response_format=FORMAT,
            )  # fmt: skip
            used = Usage(reply.usage.prompt_tokens, reply.usage.completion_tokens)
            return Reply(reply.choices[0].message.content, reply.model, "stop", used)

        yield ask


@asynccontextmanager
async def httpx(url: str, parallel: int) -> AsyncIterator[Ask]:
    library: Any = importlib.import_module("httpx")
    limits = library.Limits(max_connections=parallel, max_keepalive_connections=parallel)
    async with library.AsyncClient(limits=limits, timeout=180) as client:

        async def ask(request: Request) -> Reply:
            body = {
                "model": "m", "messages": _messages(request), "max_tokens": request.max_tokens,
                "temperature": request.temperature, "response_format": FORMAT,
            }  # fmt: skip
            response = await client.post(f"{url}/api/v1/chat/completions", json=body)
            reply = response.json()
            used = Usage(reply["usage"]["prompt_tokens"], reply["usage"]["completion_tokens"])
            return Reply(reply["choices"][0]["message"]["content"], reply["model"], "stop", used)

        yield ask


@asynccontextmanager
async def ollama(url: str, parallel: int) -> AsyncIterator[Ask]:
    library: Any = importlib.import_module("ollama")
    client = library.AsyncClient(host=url, timeout=180)

    async def ask(request: Request) -> Reply:
        options = {"temperature": request.temperature, "num_predict": request.max_tokens}
        reply = await client.chat(
            model="m", messages=_messages(request), format=dict(SCHEMA), options=options
        )
        used = Usage(reply.prompt_eval_count, reply.eval_count)
        return Reply(reply.message.content, "m", "stop", used)

    yield ask


@asynccontextmanager
async def ours(url: str, parallel: int) -> AsyncIterator[Ask]:
    options = find("openrouter").options(model="m", base_url=f"{url}/api/v1")
    async with find("openrouter").open(options) as session:
        yield session.answer


@asynccontextmanager
async def ours_ollama(url: str, parallel: int) -> AsyncIterator[Ask]:
    options = find("ollama").options(model="m", base_url=url)
    async with find("ollama").open(options) as session:
        yield session.answer


class PeerProvider:
    """A client as a provider of custom-ai: the same prompts, checks and journal, another wire.

    It knows no failures: what goes wrong ends the run.
    """

    options = ProviderOptions
    default_concurrency = 5

    def __init__(self, name: str, parallel: int) -> None:
        self.name = name
        self._parallel = parallel

    def unavailable(self) -> None:
        """It is there."""

    @asynccontextmanager
    async def open(self, options: ProviderOptions) -> AsyncIterator[Any]:
        async with CLIENTS[self.name](options.base_url, self._parallel) as ask:
            yield SimpleNamespace(model="m", terms=Terms(), answer=ask)


def _messages(request: Request) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in request.messages]


def request_of(messages: tuple[Message, ...]) -> Request:
    """What every client is asked to send."""
    return Request(messages, SCHEMA, max_tokens=1600, temperature=0.7, seed=0)


def pairs_in(reply: Reply) -> int:
    """How many pairs an answer holds, parsed as a program that uses the client alone would."""
    return len(json.loads(reply.text)["pairs"])


CLIENTS: dict[str, Callable[[str, int], Any]] = {
    "custom-ai": ours,
    "custom-ai ollama": ours_ollama,
    "openai": openai,
    "httpx": httpx,
    "ollama": ollama,
}
