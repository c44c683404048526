"""Any server with OpenAI's interface: vLLM, LM Studio, llama.cpp's server, a company's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

from custom_ai import secrets, settings
from custom_ai.providers.chat_completions import ChatSession, explain, models_in
from custom_ai.providers.http import Server, at_once
from custom_ai.providers.provider import (
    Account,
    ModelInfo,
    ProviderOptions,
    RunFatal,
    Session,
    Terms,
)


class _CompatibleOptions(ProviderOptions):
    # On a processor without a graphics card an answer may take many minutes.
    timeout: float = 1800


class _OpenAICompatible:
    name = "openai_compatible"
    options: type[ProviderOptions] = _CompatibleOptions
    default_concurrency = 5
    needs_key = False
    takes_key = True
    # It may be anywhere: people are told that their documents leave this machine.
    local = False

    def unavailable(self) -> str | None:
        return None

    @asynccontextmanager
    async def open(self, options: ProviderOptions) -> AsyncIterator[Session]:
        async with _server(options, self.name) as server:
            model = _choose(options.model, await _listed(server, options.model))
            yield ChatSession(server, model.name, Terms(model.price), {})

    async def models(self, options: ProviderOptions) -> list[ModelInfo]:
        async with _server(options, self.name) as server:
            return models_in(await at_once(server.get("models"), server))

    async def account(self, options: ProviderOptions) -> Account:
        """Nothing but that the server is there: it has no page about the account."""
        await self.models(options)
        return Account()


def _server(options: ProviderOptions, name: str) -> Server:
    own = settings.load().openai_compatible_url
    url = options.base_url or own
    down = RunFatal("providers.not_reachable", url=url)
    key = secrets.find(name)
    if key is not None and not _same_origin(url, own):
        # The key was kept for the server in the settings; another one does not get it.
        raise RunFatal(
            "providers.key_elsewhere", host=URL(url).host or "", setting="openai_compatible_url"
        )
    return Server(url, options.timeout, down, explain, key)


def _same_origin(url: str, own: str) -> bool:
    try:
        return URL(url).origin() == URL(own).origin()
    except ValueError:
        # No address at all, as will be said where it is used.
        return True


async def _listed(server: Server, model: str) -> list[ModelInfo]:
    """The models it offers; a server without such a list is asked for the model as it is."""
    try:
        return models_in(await at_once(server.get("models"), server))
    except RunFatal as error:
        if model and error.code == "providers.wrong_address":
            return []
        raise


def _choose(model: str, offered: list[ModelInfo]) -> ModelInfo:
    shown = ", ".join(entry.name for entry in offered[:20]) or "–"
    if not model and len(offered) == 1:
        return offered[0]
    if not model:
        raise RunFatal("providers.compatible_no_model", offered=shown)
    found = next((entry for entry in offered if entry.name == model), None)
    # Some servers answer to more names than they list.
    return found or ModelInfo(model)


provider = _OpenAICompatible()
