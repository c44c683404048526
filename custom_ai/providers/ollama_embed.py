"""Vectors from an embedding model of Ollama's: texts that mean the same lie close together."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from custom_ai.providers.http import Server
from custom_ai.providers.ollama import KEEP_ALIVE
from custom_ai.providers.provider import JobFatal, RunFatal, Transient

Vector = list[float]

# Shorter than any model's longest text: what is refused at this length is refused for other
# reasons than its length.
_SHORTEST = 64

# What models were trained to see before a passage and before a question, by the model's family.
_PREFIXES = {
    "nomic-embed-text": ("search_document: ", "search_query: "),
    "embeddinggemma": ("title: none | text: ", "task: search result | query: "),
    "mxbai-embed-large": ("", "Represent this sentence for searching relevant passages: "),
    "snowflake-arctic-embed": ("", "Represent this sentence for searching relevant passages: "),
    "snowflake-arctic-embed2": ("", "query: "),
    "qwen3-embedding": (
        "",
        "Instruct: Given a question, retrieve passages that answer it\nQuery: ",
    ),
}


class Embedder:
    """An open connection to one embedding model. Vectors have the length 1."""

    def __init__(self, server: Server, model: str) -> None:
        self._server = server
        self.url = str(server.url)
        self.model = model
        family = model.rpartition("/")[2].partition(":")[0]
        self._passage, self._question = _PREFIXES.get(family, ("", ""))

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text. A text too long for the model is embedded in parts.

        Raises RunFatal, or Transient when the same may succeed later.
        """
        try:
            return await self._embed([self._passage + text for text in texts])
        except JobFatal as error:
            if len(texts) > 1:
                return [(await self.passages([text]))[0] for text in texts]
            return [await self._in_halves(texts[0], error)]

    async def question(self, text: str) -> Vector:
        """The vector of a question. Raises as `passages`."""
        try:
            return (await self._embed([self._question + text]))[0]
        except JobFatal as error:
            return await self._in_halves(text, error)

    async def _in_halves(self, text: str, error: JobFatal) -> Vector:
        """The mean of the vectors of both halves, each weighing what it is long."""
        if len(text) < _SHORTEST:
            raise RunFatal("providers.failing", url=self.url, reason=error) from error
        middle = text.rfind(" ", _SHORTEST // 4, len(text) // 2 + 1)
        middle = middle if middle > 0 else len(text) // 2
        halves = text[:middle], text[middle:]
        first, second = [(await self.passages([half]))[0] for half in halves]
        pairs = zip(first, second, strict=True)
        return _unit([a * len(halves[0]) + b * len(halves[1]) for a, b in pairs])

    async def _embed(self, texts: list[str]) -> list[Vector]:
        body: dict[str, Any] = {
            "model": self.model,
            "input": texts,
            # What does not fit must be an error: a vector of half a passage would look like one.
            "truncate": False,
            "keep_alive": KEEP_ALIVE,
        }
        reply = await self._server.post("api/embed", body)
        found = reply.get("embeddings")
        if not isinstance(found, list) or len(found) != len(texts):
            raise Transient("the answer holds another number of vectors")
        vectors = [_vector(each) for each in found]
        if len({len(vector) for vector in vectors}) > 1:
            raise Transient("the vectors have different lengths")
        return vectors


@asynccontextmanager
async def open_embedder(url: str, model: str, timeout: float) -> AsyncIterator[Embedder]:
    """Reach an embedding model of the Ollama at this address; nothing is asked of it yet."""
    full = full_name(model)

    def explain(code: int, _: dict[str, Any], said: str) -> Exception | None:
        return _explain(code, said, full)

    down = RunFatal("providers.ollama_not_running", url=url)
    async with Server(url, timeout, down, explain) as server:
        yield Embedder(server, full)


def full_name(model: str) -> str:
    """As Ollama lists it: with a tag."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def _vector(given: Any) -> Vector:
    try:
        return _unit([float(value) for value in given])
    except (TypeError, ValueError, OverflowError) as error:
        raise Transient("the answer holds no vectors") from error


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(math.fsum(value * value for value in vector))
    if not length or not math.isfinite(length):
        raise ValueError("no direction")
    return [value / length for value in vector]


def _explain(code: int, said: str, model: str) -> Exception | None:
    words = said.lower()
    if "more system memory" in words or "out of memory" in words:
        return RunFatal("providers.ollama_out_of_memory", model=model, reason=said)
    if "not support embed" in words or "not an embedding model" in words:
        return RunFatal("providers.ollama_no_embeddings", model=model)
    if "input length" in words or "context length" in words:
        return JobFatal(f"{code} {said}")
    if code == 404:
        return RunFatal("providers.ollama_model_gone", model=model, reason=said)
    return None
