"""What Ollama has installed, asked of a server that answers like it, and of ones that do not."""

import asyncio
import socket

import pytest

from custom_ai.errors import UserError
from custom_ai.providers.ollama_list import Ollama, ask
from tests.providers.ollama_server import FAULTS, entry, ollama


def asked(url: str) -> Ollama:
    return asyncio.run(ask(url, patience=20))


def test_models_are_listed_by_name_with_what_is_known_of_them() -> None:
    with ollama([entry("qwen3:0.6b", "qwen3"), entry("llama3.2:1b")]) as url:
        found = asked(url)
    assert (found.url, found.version) == (url, "0.12.6")
    first, second = found.models
    assert (first.name, second.name) == ("llama3.2:1b", "qwen3:0.6b")
    assert (first.size, first.family) == (1321098329, "llama")
    assert (first.parameters, first.quantization) == ("1.2B", "Q8_0")
    assert not first.remote


def test_a_model_of_the_cloud_is_told_apart() -> None:
    away = entry(
        "gpt-oss:120b-cloud", remote_host="https://ollama.com", remote_model="gpt-oss:120b"
    )
    with ollama([away]) as url:
        assert asked(url).models[0].remote


def test_strange_entries_cost_the_others_nothing() -> None:
    strange = [{}, {"name": 3}, {"name": "odd", "size": "big", "details": None}, "text"]
    with ollama([*strange, entry("llama3.2:1b")]) as url:  # type: ignore[list-item]
        found = asked(url)
    assert [(model.name, model.size) for model in found.models] == [
        ("llama3.2:1b", 1321098329),
        ("odd", 0),
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_else_listens_there_is_said_with_what_to_do(fault: str) -> None:
    with ollama([], fault) as url, pytest.raises(UserError) as caught:
        asked(url)
    assert url in caught.value.message
    assert caught.value.hint


def test_an_address_where_nothing_listens_means_it_is_not_running() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UserError) as caught:
            asked(url)
    assert caught.value.code == "providers.ollama_not_running"


def test_a_server_that_never_answers_is_given_up() -> None:
    with ollama([], wait=30) as url, pytest.raises(UserError) as caught:
        asyncio.run(ask(url, patience=0.2))
    assert caught.value.code == "providers.ollama_silent"
