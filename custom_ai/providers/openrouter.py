"""OpenRouter: many models of the cloud behind one key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from yarl import URL

from custom_ai import secrets, settings
from custom_ai.providers.chat_completions import ChatSession, models_in, too_long
from custom_ai.providers.http import (
    Server,
    at_once,
    is_loopback,
    money_of,
    object_of,
    text_of,
)
from custom_ai.providers.provider import (
    Account,
    JobFatal,
    ModelInfo,
    Price,
    ProviderOptions,
    RunFatal,
    Session,
    Terms,
    Transient,
)

HOME = "https://openrouter.ai/api/v1"

# Of models that cost nothing, 20 requests a minute are allowed.
FREE_PER_MINUTE = 18
# Without ever having bought credit, so many a day.
FREE_A_DAY = 50

# What a token may cost, as a multiple of the list price: some servers are dearer than others.
DEAREST = 2

# What `error.metadata.error_type` says, where it says more than the status.
_MODERATED = ("moderation", "guardrail", "content_policy", "content_filter", "refusal")


class OpenRouterOptions(ProviderOptions):
    """deny_data_collection: nobody who runs a model may keep what we send. distillable_only: only
    models whose makers permit that their answers train other models."""

    deny_data_collection: bool = True
    distillable_only: bool = True


class _OpenRouter:
    name = "openrouter"
    options: type[ProviderOptions] = OpenRouterOptions
    default_concurrency = 5
    needs_key = takes_key = True
    local = False

    def unavailable(self) -> str | None:
        return None

    @asynccontextmanager
    async def open(self, options: ProviderOptions) -> AsyncIterator[Session]:
        if not options.model:
            raise RunFatal("providers.openrouter_no_model")
        async with _server(options, self._key(options)) as server:
            terms = await _terms(server, options.model)
            yield ChatSession(server, options.model, terms, {"provider": _rules(options, terms)})

    async def models(self, options: ProviderOptions) -> list[ModelInfo]:
        """Needs no key."""
        async with _server(options, None) as server:
            return models_in(await at_once(server.get("models"), server))

    async def account(self, options: ProviderOptions) -> Account:
        async with _server(options, self._key(options)) as server:
            return _account(object_of((await at_once(server.get("key"), server)).get("data")))

    def _key(self, options: ProviderOptions) -> secrets.Secret:
        key = secrets.find(self.name)
        if key is None:
            raise RunFatal("providers.openrouter_no_key", variable=secrets.variable(self.name))
        _only_home(options.base_url)
        return key


def _server(options: ProviderOptions, key: secrets.Secret | None) -> Server:
    url = options.base_url or settings.load().openrouter_url
    down = RunFatal("providers.not_reachable", url=url)

    def explain(code: int, error: dict[str, Any], said: str) -> Exception | None:
        return _explain(code, error, said, options.model)

    return Server(url, options.timeout, down, explain, key)


def _only_home(base_url: str) -> None:
    """The key goes to OpenRouter, to the address in the settings, or nowhere off this machine."""
    homes = [URL(HOME).origin(), URL(settings.load().openrouter_url).origin()]
    try:
        url = URL(base_url)
        fine = not base_url or url.origin() in homes or is_loopback(url)
    except ValueError:
        # No address at all, as will be said where it is used.
        fine = True
    if not fine:
        raise RunFatal("providers.key_elsewhere", host=url.host or "", setting="openrouter_url")


async def _terms(server: Server, model: str) -> Terms:
    """What the model costs, as the list of models says; unknown where there is no such list."""
    try:
        found = models_in(await server.get("models"))
    except (RunFatal, JobFatal, Transient):
        # The first request will say what is wrong, if it is more than a missing list.
        found = []
    price = next((entry.price for entry in found if entry.name == model), None)
    if model.endswith(":free"):
        return Terms(Price(), FREE_PER_MINUTE, by_day=True)
    return Terms(price)


def _rules(options: ProviderOptions, terms: Terms) -> dict[str, Any]:
    assert isinstance(options, OpenRouterOptions)
    rules: dict[str, Any] = {
        # Without it a server that knows no schemas ignores ours in silence. For the same
        # reason no seed is sent: it would exclude most of them.
        "require_parameters": True,
        "data_collection": "deny" if options.deny_data_collection else "allow",
    }
    if options.distillable_only:
        rules["enforce_distillable_text"] = True
    if terms.price and terms.price != Price():
        # In dollars for a million tokens: what was estimated stays true.
        rules["max_price"] = {
            "prompt": float(terms.price.prompt * 1_000_000 * DEAREST),
            "completion": float(terms.price.completion * 1_000_000 * DEAREST),
        }
    return rules


def _account(data: dict[str, Any]) -> Account:
    free = object_of(data.get("free_model_daily_requests"))
    limit, left = _whole(free.get("limit")), _whole(free.get("remaining"))
    if limit is None and data.get("is_free_tier") is True:
        limit = FREE_A_DAY
    credit = None if data.get("limit_remaining") is None else money_of(data["limit_remaining"])
    return Account(text_of(data.get("label")), credit, left, limit)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _explain(code: int, error: dict[str, Any], said: str, model: str) -> Exception | None:
    metadata = object_of(error.get("metadata"))
    kind = text_of(metadata.get("error_type")).lower()
    if any(word in kind for word in _MODERATED) or (code == 403 and metadata.get("reasons")):
        return JobFatal(f"{code} {said}")
    if code == 401 or kind == "authentication":
        return RunFatal("providers.openrouter_wrong_key", reason=said)
    if code == 402 or kind == "payment_required":
        return RunFatal("providers.openrouter_no_credit", reason=said)
    if code in (400, 413, 422) and (long := too_long(error, said)):
        return long
    if code == 400 and "model id" in said.lower():
        return RunFatal("providers.openrouter_unknown_model", model=model, reason=said)
    if object_of(error.get("availability")).get("retryable") is False or code == 404:
        return RunFatal("providers.openrouter_no_endpoint", model=model, reason=said)
    return None


provider = _OpenRouter()
