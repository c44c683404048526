"""OpenRouter: many models of the cloud behind one key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from custom_ai import secrets, settings
from custom_ai.providers.http import Server, count_of, money_of, object_of, text_of
from custom_ai.providers.provider import (
    BadOutput,
    FinishReason,
    JobFatal,
    ProviderOptions,
    Reply,
    Request,
    RunFatal,
    Session,
    Transient,
    Usage,
)

# What `error.metadata.error_type` says, where it says more than the status.
_MODERATED = ("moderation", "guardrail", "content_policy", "content_filter", "refusal")


class _OpenRouter:
    name = "openrouter"
    options = ProviderOptions
    default_concurrency = 5
    needs_key = True
    local = False

    def unavailable(self) -> str | None:
        return None

    @asynccontextmanager
    async def open(self, options: ProviderOptions) -> AsyncIterator[Session]:
        if not options.model:
            raise RunFatal("providers.openrouter_no_model")
        key = secrets.find(self.name)
        if key is None:
            raise RunFatal("providers.openrouter_no_key", variable=secrets.variable(self.name))
        url = options.base_url or settings.load().openrouter_url
        down = RunFatal("providers.not_reachable", url=url)

        def explain(code: int, error: dict[str, Any], said: str) -> Exception | None:
            return _explain(code, error, said, options.model)

        async with Server(url, options.timeout, down, explain, key) as server:
            yield _OpenRouterSession(server, options.model)


class _OpenRouterSession:
    def __init__(self, server: Server, model: str) -> None:
        self._server = server
        self.model = model

    async def answer(self, request: Request) -> Reply:
        reply = await self._server.post("chat/completions", _body(self.model, request))
        usage = object_of(reply.get("usage"))
        used = Usage(
            count_of(usage.get("prompt_tokens")),
            count_of(usage.get("completion_tokens")),
            money_of(usage.get("cost")),
        )
        choices = reply.get("choices")
        if not isinstance(choices, list) or not choices:
            raise Transient("reply without an answer")
        choice = object_of(choices[0])
        message = object_of(choice.get("message"))
        reason = choice.get("finish_reason")
        if error := object_of(choice.get("error")):
            raise Transient(self._server.clean(text_of(error.get("message")) or "error"))
        if reason == "error":
            raise Transient("the model failed while answering")
        if reason == "content_filter" or message.get("refusal"):
            raise JobFatal("the model refused")
        text = text_of(message.get("content"))
        if not text.strip() and reason != "length":
            raise BadOutput("empty answer", used)
        finish: FinishReason = "length" if reason == "length" else "stop"
        return Reply(text, text_of(reply.get("model")) or self.model, finish, used)


def _body(model: str, request: Request) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "provider": {
            # Without it a server that knows no schemas ignores ours in silence. For the same
            # reason no seed is sent: it would exclude most of them.
            "require_parameters": True,
            # The documents are the user's own; nobody else trains on them.
            "data_collection": "deny",
            # Only models whose makers permit that their answers train other models.
            "enforce_distillable_text": True,
        },
    }
    if request.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": dict(request.schema)},
        }
    return body


def _explain(code: int, error: dict[str, Any], said: str, model: str) -> Exception | None:
    metadata = object_of(error.get("metadata"))
    kind = text_of(metadata.get("error_type")).lower()
    if any(word in kind for word in _MODERATED) or (code == 403 and metadata.get("reasons")):
        return JobFatal(f"{code} {said}")
    if code == 401 or kind == "authentication":
        return RunFatal("providers.openrouter_wrong_key", reason=said)
    if code == 402 or kind == "payment_required":
        return RunFatal("providers.openrouter_no_credit", reason=said)
    if code == 400 and "model id" in said.lower():
        return RunFatal("providers.openrouter_unknown_model", model=model, reason=said)
    if object_of(error.get("availability")).get("retryable") is False or code == 404:
        return RunFatal("providers.openrouter_no_endpoint", model=model, reason=said)
    return None


provider = _OpenRouter()
