"""Ollama: models on this machine (or another one of yours), through its own interface.

Its OpenAI-compatible interface can't set the size of the context and cuts long texts in silence.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from custom_ai import settings
from custom_ai.providers import ollama_list
from custom_ai.providers.http import Server, at_once, count_of, object_of, text_of
from custom_ai.providers.provider import (
    FREE,
    Account,
    BadOutput,
    ModelInfo,
    Price,
    ProviderOptions,
    Reply,
    Request,
    RunFatal,
    Session,
    TooLong,
    Transient,
    Usage,
)

# A model stays loaded for this long between two requests of a run.
KEEP_ALIVE = "10m"
# German takes about three characters a token; two leaves room for names and tables.
CHARACTERS_PER_TOKEN = 2
CONTEXT_STEP = 2048
# Seconds that its list of models may take.
PATIENCE_SECONDS = 5.0


class _OllamaOptions(ProviderOptions):
    # On a processor without a graphics card an answer may take many minutes.
    timeout: float = 1800


class _Ollama:
    name = "ollama"
    options: type[ProviderOptions] = _OllamaOptions
    # Ollama works on one request at a time unless told otherwise; more would only wait in line.
    default_concurrency = 1
    needs_key = takes_key = False
    local = True

    def unavailable(self) -> str | None:
        return None

    @asynccontextmanager
    async def open(self, options: ProviderOptions) -> AsyncIterator[Session]:
        url = _url(options)
        down = RunFatal("providers.ollama_not_running", url=url)

        def explain(code: int, _: dict[str, Any], said: str) -> Exception | None:
            return _explain(code, said, options.model)

        async with Server(url, options.timeout, down, explain) as server:
            tags = (await at_once(server.get("api/tags"), server)).get("models")
            if not isinstance(tags, list):
                raise RunFatal("providers.not_ollama", url=url)
            installed = [text_of(object_of(model).get("name")) for model in tags]
            model = _choose(options.model, installed)
            about = await at_once(server.post("api/show", {"model": model}), server)
            yield _OllamaSession(server, model, about)

    async def models(self, options: ProviderOptions) -> list[ModelInfo]:
        found = (await ollama_list.ask(_url(options), PATIENCE_SECONDS)).models
        return [ModelInfo(model.name, price=Price(), size=model.size) for model in found]

    async def account(self, options: ProviderOptions) -> Account:
        """Nothing but that Ollama is there."""
        return Account((await ollama_list.ask(_url(options), PATIENCE_SECONDS)).version)


def _url(options: ProviderOptions) -> str:
    return options.base_url or settings.load().ollama_url


class _OllamaSession:
    terms = FREE

    def __init__(self, server: Server, model: str, about: dict[str, Any]) -> None:
        self._server = server
        self.model = model
        capabilities = about.get("capabilities")
        self._thinks = isinstance(capabilities, list) and "thinking" in capabilities
        info = object_of(about.get("model_info"))
        lengths = [count_of(v) for k, v in info.items() if k.endswith(".context_length")]
        self._longest = max(lengths, default=0)
        self._context = 2 * CONTEXT_STEP

    async def answer(self, request: Request) -> Reply:
        context = self._context_for(request)
        reply = await self._server.post("api/chat", self._body(request, context))
        if reply.get("done") is not True:
            raise Transient("the answer is incomplete")
        prompt_tokens = count_of(reply.get("prompt_eval_count"))
        completion_tokens = count_of(reply.get("eval_count"))
        used = Usage(prompt_tokens, completion_tokens)
        # Ollama does not say that it cut the beginning off; a full context is the only sign.
        full = prompt_tokens + completion_tokens >= context
        cut = full or reply.get("done_reason") == "length"
        text = text_of(object_of(reply.get("message")).get("content"))
        if not text.strip() and not cut:
            raise BadOutput("empty answer", used)
        return Reply(text, self.model, "length" if cut else "stop", used)

    def _context_for(self, request: Request) -> int:
        """The context in tokens; it only grows, because each change loads the model anew."""
        characters = sum(len(message.content) for message in request.messages)
        needed = characters // CHARACTERS_PER_TOKEN + request.max_tokens
        if self._longest and needed > self._longest:
            raise TooLong(f"{needed} tokens are more than {self.model} can read ({self._longest})")
        steps = -(-needed // CONTEXT_STEP)
        self._context = max(self._context, steps * CONTEXT_STEP)
        return min(self._context, self._longest or self._context)

    def _body(self, request: Request, context: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "stream": False,
            "keep_alive": KEEP_ALIVE,
            "options": {
                "num_ctx": context,
                "num_predict": request.max_tokens,
                "temperature": request.temperature,
                "seed": request.seed,
            },
        }
        if request.schema is not None:
            body["format"] = dict(request.schema)
        if self._thinks:
            # Models that can't think answer this key with an error.
            body["think"] = False
        return body


def _choose(model: str, installed: list[str]) -> str:
    shown = ", ".join(installed) or "–"
    if not installed:
        raise RunFatal("providers.ollama_empty")
    if not model:
        raise RunFatal("providers.ollama_no_model", installed=shown)
    full = model if ":" in model.rpartition("/")[2] else f"{model}:latest"
    if full not in installed:
        raise RunFatal("providers.ollama_unknown_model", model=model, installed=shown)
    return full


def _explain(code: int, said: str, model: str) -> Exception | None:
    words = said.lower()
    if "more system memory" in words or "out of memory" in words:
        return RunFatal("providers.ollama_out_of_memory", model=model, reason=said)
    if code == 404 and "model" in words:
        return RunFatal("providers.ollama_model_gone", model=model, reason=said)
    return None


provider = _Ollama()
