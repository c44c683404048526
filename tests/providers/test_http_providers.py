"""Ollama and OpenRouter against a real server: what is sent, what comes back, what can fail."""

import asyncio
import json
import socket
from decimal import Decimal
from typing import Any

import pytest

from custom_ai import secrets, settings
from custom_ai.errors import UserError
from custom_ai.providers.http import Server, is_loopback, retry_after
from custom_ai.providers.provider import (
    BadOutput,
    JobFatal,
    Message,
    Reply,
    Request,
    RunFatal,
    Transient,
    find,
    names,
)
from custom_ai.texts import use_language
from tests.providers.fault_server import KEY, OLLAMA_MODELS, FaultServer

TEXT = "===== 1 =====\nBerlin hat 3,7 Millionen Einwohner. Es liegt an der Spree.\n===== 1 ====="
SCHEMA = {"type": "object"}
BOTH = ("openrouter", "ollama")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)


def _request(max_tokens: int = 500, text: str = TEXT) -> Request:
    return Request(
        (Message("user", f"{text}\nNumber of questions: 2"),), SCHEMA, max_tokens, 0.5, 7
    )


def _ask(name: str, server: FaultServer, model: str = "", **more: Any) -> Reply:
    request = more.pop("request", _request())

    async def go() -> Reply:
        provider = find(name)
        values = {
            "model": model or ("maker/model" if name == "openrouter" else "qwen3:4b"),
            "base_url": server.openrouter if name == "openrouter" else server.ollama,
            "timeout": 5,
            **more,
        }
        async with provider.open(provider.options.parse(values)) as session:
            return await session.answer(request)

    return asyncio.run(go())


def test_every_provider_can_be_found_by_its_name() -> None:
    assert {"ollama", "openrouter"} <= set(names())
    assert not {"provider", "http", "chat_completions", "__init__"} & set(names())
    for name in names():
        assert find(name).name == name
        assert find(name).unavailable() is None


def test_an_unknown_provider_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="openrouter"):
        find("../secrets")


def test_openrouter_is_asked_for_a_schema_and_for_privacy() -> None:
    with FaultServer() as server:
        reply = _ask("openrouter", server)
    assert len(json.loads(reply.text)["pairs"]) == 2
    assert reply.model == "maker/model-2026"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (300, 80)
    assert reply.usage.cost == Decimal("0.0001")
    body = server.bodies[0]
    assert body["model"] == "maker/model"
    assert body["response_format"]["json_schema"] == {
        "name": "answer", "strict": True, "schema": SCHEMA,
    }  # fmt: skip
    assert body["provider"] == {
        "require_parameters": True,
        "data_collection": "deny",
        "enforce_distillable_text": True,
    }
    assert server.keys == {f"Bearer {KEY}"}


def test_ollama_gets_a_context_that_holds_text_and_answer() -> None:
    with FaultServer() as server:
        reply = _ask("ollama", server, request=_request(text="x" * 12_000 + TEXT))
    body = server.bodies[0]
    assert body["options"]["num_ctx"] >= 12_000 / 3 + 500
    assert body["options"]["num_predict"] == 500
    assert body["format"] == SCHEMA and body["stream"] is False
    assert "think" not in body
    assert reply.usage.cost == 0 and reply.model == "qwen3:4b"
    assert server.keys == {""}


def test_a_model_that_thinks_is_told_not_to() -> None:
    with FaultServer() as server:
        reply = _ask("ollama", server, "thinker")
    assert server.bodies[0]["think"] is False
    assert reply.model == "thinker:latest"


def test_a_text_longer_than_the_model_can_read_is_not_sent() -> None:
    with FaultServer() as server, pytest.raises(JobFatal):
        _ask("ollama", server, request=_request(text="x" * 100_000))
    assert server.total == 0


TRANSIENT = (
    "408", "409", "425", "500", "502_html", "503", "504", "200_error", "200_text_error", "html",
    "empty", "list", "nan", "huge_number", "deep", "reset", "reset_in_body", "short_body",
    "gzip_bomb", "huge_reply",
)  # fmt: skip
LIMITED = ("429", "429_number", "429_date", "429_negative", "429_junk", "429_huge",
           "200_rate_error")  # fmt: skip
JOB = ("400", "413", "422")
RUN = ("401", "402", "403", "404", "405", "redirect")


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [(fault, Transient) for fault in (*TRANSIENT, *LIMITED)]
    + [(fault, JobFatal) for fault in JOB]
    + [(fault, RunFatal) for fault in RUN]
    + [("empty_content", BadOutput)],
)
def test_each_failure_has_its_meaning(name: str, fault: str, kind: type[Exception]) -> None:
    with FaultServer((fault,)) as server, pytest.raises(Exception) as caught:
        _ask(name, server)
    assert type(caught.value) is kind
    assert KEY not in repr(caught.value) + str(caught.value)
    assert caught.value.__context__ is None or KEY not in repr(caught.value.__context__)
    assert server.total == 1
    if isinstance(caught.value, Transient):
        assert caught.value.rate_limited == (fault in LIMITED)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("no_choices", Transient),
        ("wrong_types", Transient),
        ("choice_error", Transient),
        ("403_moderation", JobFatal),
        ("400_model", RunFatal),
    ],
)
def test_failures_of_openrouter_alone(fault: str, kind: type[Exception]) -> None:
    with FaultServer((fault,)) as server, pytest.raises(kind):
        _ask("openrouter", server)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("not_done", Transient), ("wrong_types", Transient), ("out_of_memory", RunFatal)],
)
def test_failures_of_ollama_alone(fault: str, kind: type[Exception]) -> None:
    with FaultServer((fault,)) as server, pytest.raises(kind):
        _ask("ollama", server)


@pytest.mark.parametrize("name", BOTH)
def test_a_cut_answer_says_so(name: str) -> None:
    with FaultServer(("cut",)) as server:
        assert _ask(name, server).finish_reason == "length"


def test_a_full_context_of_ollama_counts_as_cut() -> None:
    with FaultServer(("full_context",)) as server:
        assert _ask("ollama", server).finish_reason == "length"


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_an_answer_that_takes_too_long_is_not_waited_for(fault: str) -> None:
    with FaultServer((fault,)) as server, pytest.raises(Transient):
        _ask("openrouter", server, timeout=0.4)


def test_half_characters_in_an_answer_are_replaced() -> None:
    with FaultServer(("surrogates",)) as server:
        _ask("openrouter", server).text.encode("utf-8")


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("401", "providers.openrouter_wrong_key"),
        ("402", "providers.openrouter_no_credit"),
        ("400_model", "providers.openrouter_unknown_model"),
        ("404", "providers.openrouter_no_endpoint"),
    ],
)
def test_openrouter_says_what_to_do(fault: str, code: str, language: str) -> None:
    use_language(language)
    with FaultServer((fault,)) as server, pytest.raises(RunFatal) as caught:
        _ask("openrouter", server)
    assert caught.value.code == code
    assert caught.value.hint and KEY not in str(caught.value) and "{" not in str(caught.value)


def test_without_a_key_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY")
    monkeypatch.setattr(secrets, "KEYRING_SECONDS", 0.0)
    with FaultServer() as server, pytest.raises(RunFatal) as caught:
        _ask("openrouter", server)
    assert caught.value.code == "providers.openrouter_no_key"
    assert "OPENROUTER_API_KEY" in caught.value.hint
    assert server.total == 0


def test_a_missing_model_names_the_installed_ones() -> None:
    with FaultServer() as server:
        for model, code in (("gpt-5", "ollama_unknown_model"), ("", "ollama_no_model")):
            provider = find("ollama")
            options = provider.options.parse({"model": model, "base_url": server.ollama})
            with pytest.raises(RunFatal) as caught:
                asyncio.run(_enter(provider.open(options)))
            assert caught.value.code == f"providers.{code}"
            assert all(name in caught.value.hint for name in OLLAMA_MODELS)


def test_ollama_that_is_not_running_is_named_with_its_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    settings.change("ollama-url", url)
    provider = find("ollama")
    with pytest.raises(RunFatal) as caught:
        asyncio.run(_enter(provider.open(provider.options.parse({"model": "qwen3:4b"}))))
    assert caught.value.message == f"Ollama is not running at {url}."
    assert "ollama serve" in caught.value.hint


def test_a_server_that_vanished_says_what_to_tell_people() -> None:
    with FaultServer() as server:
        url = server.openrouter
    provider = find("openrouter")

    async def go() -> None:
        options = provider.options.parse({"model": "a/b", "base_url": url})
        async with provider.open(options) as session:
            await session.answer(_request())

    with pytest.raises(Transient) as caught:
        asyncio.run(go())
    assert caught.value.down is not None and url in caught.value.down.message


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "providers.bad_url"),
        ("ftp://x", "providers.bad_url"),
        ("http://", "providers.bad_url"),
        ("//host", "providers.bad_url"),
        ("http://me:secret@host", "providers.bad_url"),
        ("http://host?key=1", "providers.bad_url"),
        ("http://host:99999", "providers.bad_url"),
        ("http://openrouter.ai/api/v1", "providers.insecure_url"),
        ("http://127.0.0.1.evil.com", "providers.insecure_url"),
        ("http://10.0.0.8:11434", "providers.insecure_url"),
    ],
)
def test_an_address_that_is_none_or_shows_the_key_is_refused(url: str, code: str) -> None:
    with pytest.raises(RunFatal) as caught:
        Server(url, 1, RunFatal("providers.not_ollama"), lambda *_: None, secrets.Secret(KEY))
    assert caught.value.code == code
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://[::1]:1", "http://127.9.9.9"])
def test_this_machine_is_known_by_all_its_names(url: str) -> None:
    server = Server(url, 1, RunFatal("providers.not_ollama"), lambda *_: None, secrets.Secret(KEY))
    assert is_loopback(server.url)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("3", 3.0), ("0.5", 0.5), ("-5", 0.0), ("soon", None), ("inf", None),
     ("nan", None), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
     ("Mon, 01 Jan 2001 00:00:00 -0000", 0.0)],
)  # fmt: skip
def test_a_wished_wait_is_read_as_number_or_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_a_date_in_the_future_is_waited_for() -> None:
    with FaultServer(("429_date",)) as server, pytest.raises(Transient) as caught:
        _ask("openrouter", server)
    assert caught.value.after is not None and 0 <= caught.value.after <= 1


async def _enter(opening: Any) -> None:
    async with opening:
        pass
