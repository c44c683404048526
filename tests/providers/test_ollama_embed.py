"""Embedding through Ollama, over real HTTP: what is sent, what comes back, what can fail."""

import asyncio
import math
from collections.abc import Iterator

import pytest

from custom_ai.providers.ollama_embed import Vector, full_name, open_embedder
from custom_ai.providers.provider import RunFatal, Transient
from tests.providers.embedding_server import EmbeddingServer, embedding_server


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as server:
        yield server


def passages(url: str, *texts: str, model: str = "all-minilm") -> list[Vector]:
    async def go() -> list[Vector]:
        async with open_embedder(url, model, 5) as embedder:
            return await embedder.passages(texts)

    return asyncio.run(go())


def question(url: str, text: str, model: str = "all-minilm") -> Vector:
    async def go() -> Vector:
        async with open_embedder(url, model, 5) as embedder:
            return await embedder.question(text)

    return asyncio.run(go())


def test_texts_become_vectors_of_length_one_in_one_request(server: EmbeddingServer) -> None:
    dog, rent = passages(server.url, "Der Hund bellt", "Die Miete")
    assert math.isclose(sum(v * v for v in dog), 1)
    assert (dog.index(max(dog)), rent.index(max(rent))) == (0, 1)
    (body,) = server.requests
    assert (body["model"], body["truncate"]) == ("all-minilm:latest", False)


def test_a_model_gets_the_words_it_was_trained_with(server: EmbeddingServer) -> None:
    passages(server.url, "Hund", model="me/nomic-embed-text:v1.5")
    question(server.url, "Hund", model="nomic-embed-text")
    question(server.url, "Hund", model="unknown")
    assert server.texts == ["search_document: Hund", "search_query: Hund", "Hund"]


def test_a_text_too_long_for_the_model_is_embedded_in_parts(server: EmbeddingServer) -> None:
    server.longest = 300
    long = "Der Hund bellt. " * 60 + "Die Miete steigt. " * 20
    short, found = passages(server.url, "Der Garten", long)
    assert short.index(max(short)) == 2
    assert found[0] > found[1] > found[2] == found[3]
    assert math.isclose(sum(v * v for v in found), 1)
    answered = [t for t in server.texts if len(t) <= 300 and t != "Der Garten"]
    assert "".join(answered) == long


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, '{"error": "model \\"x\\" not found, try pulling it first"}', "ollama_model_gone"),
        (501, '{"error": "this model does not support embeddings"}', "ollama_no_embeddings"),
        (400, '{"error": "bad request"}', "failing"),
        (500, '{"error": "model requires more system memory"}', "ollama_out_of_memory"),
    ],
)
def test_what_can_not_get_better_is_named(
    server: EmbeddingServer, status: int, body: str, code: str
) -> None:
    server.faults = [(status, body)] * 9
    with pytest.raises(RunFatal) as caught:
        passages(server.url, "Hund")
    assert caught.value.code == f"providers.{code}"
    assert caught.value.hint


@pytest.mark.parametrize(
    "body",
    [
        '{"embeddings": []}',
        '{"embeddings": "none"}',
        '{"embeddings": [[1, 2], [1]]}',
        '{"embeddings": [[0, 0], [1, 0]]}',
        '{"embeddings": [["a"], [1]]}',
        '{"embeddings": [null, [1]]}',
        '{"embeddings": [[1e999], [1]]}',
        "{}",
        "<html>",
    ],
)
def test_an_answer_without_vectors_is_no_vector(server: EmbeddingServer, body: str) -> None:
    server.faults = [(200, body)]
    with pytest.raises(Transient):
        passages(server.url, "Hund", "Miete")


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(Transient) as caught:
        passages("http://127.0.0.1:9", "Hund")
    assert caught.value.down is not None
    assert caught.value.down.code == "providers.ollama_not_running"


def test_names_are_written_as_ollama_lists_them() -> None:
    assert full_name("bge-m3") == "bge-m3:latest"
    assert full_name("host:5000/me/bge-m3") == "host:5000/me/bge-m3:latest"
    assert full_name("bge-m3:567m") == "bge-m3:567m"
