"""`/chat/completions`, the interface that OpenRouter, vLLM, LM Studio and llama.cpp share."""

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from custom_ai.providers.http import Server, count_of, money_of, object_of, text_of
from custom_ai.providers.provider import (
    BadOutput,
    FinishReason,
    JobFatal,
    ModelInfo,
    Price,
    Reply,
    Request,
    Terms,
    TooLong,
    Transient,
    Usage,
)

_TOO_LONG = re.compile(
    r"context.?(?:length|size|window)|maximum context|too many tokens|prompt is too long", re.I
)


class ChatSession:
    """One model behind /chat/completions. more: what only some servers want in the body."""

    def __init__(self, server: Server, model: str, terms: Terms, more: dict[str, Any]) -> None:
        self._server = server
        self.model = model
        self.terms = terms
        self._more = more

    async def answer(self, request: Request) -> Reply:
        """Answer, or raise RunFatal, JobFatal, Transient or BadOutput."""
        body = {**_body(self.model, request), **self._more}
        reply = await self._server.post("chat/completions", body)
        used = self._usage(object_of(reply.get("usage")))
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

    def _usage(self, usage: dict[str, Any]) -> Usage:
        tokens = count_of(usage.get("prompt_tokens")), count_of(usage.get("completion_tokens"))
        cost = money_of(usage.get("cost"))
        if "cost" not in usage and self.terms.price is not None:
            cost = self.terms.price.of(*tokens)
        return Usage(*tokens, cost)


def too_long(error: dict[str, Any], said: str) -> TooLong | None:
    """Whether a refusal means that the request is longer than the model's context."""
    metadata = object_of(error.get("metadata"))
    words = [error.get("code"), error.get("type"), metadata.get("error_type"), said]
    found = any(_TOO_LONG.search(word) for word in words if isinstance(word, str))
    return TooLong(f"longer than the model's context: {said}") if found else None


def explain(code: int, error: dict[str, Any], said: str) -> Exception | None:
    """What a refusal means beside what its status says (see `http.Explain`)."""
    return too_long(error, said) if code in (400, 413, 422) else None


def models_in(reply: dict[str, Any]) -> list[ModelInfo]:
    """The models in the answer to GET /models, by name; each server tells more or less of them."""
    entries = reply.get("data")
    found = [_model(object_of(entry)) for entry in _list(entries)]
    return sorted((model for model in found if model.name), key=lambda model: model.name)


def _body(model: str, request: Request) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    if request.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": dict(request.schema)},
        }
    return body


def _model(entry: dict[str, Any]) -> ModelInfo:
    parameters = entry.get("supported_parameters")
    sizes = (
        entry.get("context_length"),  # OpenRouter
        entry.get("max_model_len"),  # vLLM
        object_of(entry.get("meta")).get("n_ctx"),  # llama.cpp
        object_of(entry.get("meta")).get("n_ctx_train"),
        entry.get("max_context_length"),  # LM Studio
    )
    return ModelInfo(
        name=text_of(entry.get("id")),
        title=text_of(entry.get("name")),
        context=next((size for value in sizes if (size := count_of(value))), 0),
        price=_price(object_of(entry.get("pricing"))),
        schemas="structured_outputs" in parameters if isinstance(parameters, list) else None,
        expires=text_of(entry.get("expiration_date")),
    )


def _price(pricing: dict[str, Any]) -> Price | None:
    """A price list in dollars per token, written as texts; None where one of the two is missing.

    A negative price (OpenRouter's router) means that it depends on the model chosen.
    """
    amounts = [_amount(pricing.get(name)) for name in ("prompt", "completion", "request")]
    if amounts[0] is None or amounts[1] is None:
        return None
    return Price(amounts[0], amounts[1], amounts[2] or Decimal(0))


def _amount(value: Any) -> Decimal | None:
    try:
        amount = Decimal(value) if isinstance(value, str | int | Decimal) else None
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() and amount >= 0 else None


def _list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else ()
