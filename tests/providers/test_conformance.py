"""The fault server speaks as the real ones do: their official clients understand it."""

import json
from typing import Any

import pytest

from custom_ai.datasets.prompts import SCHEMA
from tests.providers.fault_server import KEY, FaultServer

openai = pytest.importorskip("openai")
ollama = pytest.importorskip("ollama")

TEXT = "===== 1 =====\nBerlin hat 3,7 Millionen Einwohner.\n===== 1 =====\nNumber of questions: 1"
MESSAGES: Any = [{"role": "user", "content": TEXT}]
FORMAT: Any = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": dict(SCHEMA)},
}


def _openai(server: FaultServer) -> Any:
    return openai.OpenAI(base_url=server.openrouter, api_key=KEY, max_retries=0, timeout=10)


def _ask_openai(server: FaultServer) -> Any:
    with _openai(server) as client:
        return client.chat.completions.create(
            model="maker/model", messages=MESSAGES, response_format=FORMAT, max_tokens=500
        )


def _ask_ollama(server: FaultServer) -> Any:
    client = ollama.Client(host=server.ollama, timeout=10)
    try:
        return client.chat(
            model="qwen3:4b", messages=MESSAGES, format=dict(SCHEMA), think=False,
            options={"num_ctx": 4096, "num_predict": 500}, keep_alive="10m",
        )  # fmt: skip
    finally:
        client.close()


def test_the_openai_client_reads_an_answer_with_its_price() -> None:
    with FaultServer() as server:
        reply = _ask_openai(server)
        assert server.keys == {f"Bearer {KEY}"}
    assert json.loads(reply.choices[0].message.content)["pairs"]
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == 380 and reply.usage.model_extra["cost"] == 0.0001


def test_the_openai_client_reads_the_list_of_models() -> None:
    with FaultServer() as server, _openai(server) as client:
        assert [model.id for model in client.models.list()] == ["maker/model"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("400", "BadRequestError"), ("401", "AuthenticationError"),
        ("403", "PermissionDeniedError"), ("404", "NotFoundError"), ("409", "ConflictError"),
        ("422", "UnprocessableEntityError"),
        ("429_number", "RateLimitError"), ("500", "InternalServerError"),
        ("502_html", "InternalServerError"), ("reset", "APIConnectionError"),
    ],
)  # fmt: skip
def test_the_openai_client_gives_each_failure_its_name(fault: str, error: str) -> None:
    with FaultServer((fault,)) as server, pytest.raises(openai.OpenAIError) as caught:
        _ask_openai(server)
    assert type(caught.value).__name__ == error


def test_the_openai_client_sees_what_was_cut_off() -> None:
    with FaultServer(("cut",)) as server:
        assert _ask_openai(server).choices[0].finish_reason == "length"


def test_the_ollama_client_reads_answers_models_and_details() -> None:
    with FaultServer() as server:
        reply = _ask_ollama(server)
        client = ollama.Client(host=server.ollama, timeout=10)
        names = [model.model for model in client.list().models]
        about = client.show("qwen3:4b")
        client.close()
    assert json.loads(reply.message.content)["pairs"]
    assert (reply.done, reply.done_reason) == (True, "stop")
    assert (reply.prompt_eval_count, reply.eval_count) == (300, 80)
    assert "qwen3:4b" in names
    assert about.modelinfo["qwen3.context_length"] == 40960


@pytest.mark.parametrize(("fault", "status"), [("404", 404), ("out_of_memory", 500), ("503", 503)])
def test_the_ollama_client_gives_each_failure_its_status(fault: str, status: int) -> None:
    with FaultServer((fault,)) as server, pytest.raises(ollama.ResponseError) as caught:
        _ask_ollama(server)
    assert caught.value.status_code == status
