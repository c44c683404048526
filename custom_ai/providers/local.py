"""A GGUF file that answers: the real llama.cpp, in a child process whose crash can't reach us."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from custom_ai.errors import UserError
from custom_ai.providers.chat_completions import ChatSession, explain
from custom_ai.providers.gguf_header import read_header
from custom_ai.providers.http import Server
from custom_ai.providers.llama_process import LlamaProcess
from custom_ai.providers.provider import (
    FREE,
    Account,
    ModelInfo,
    ProviderOptions,
    Reply,
    Request,
    RunFatal,
    Session,
    Transient,
)
from custom_ai.texts import t

Message = dict[str, str]

# A passage with its question takes about 1000 tokens, its answer up to 2000.
GENERATION_CONTEXT = 8192

# llama.cpp's own sign for "draw anew each time".
ANY_SEED = -1

# How many of the likeliest tokens are asked for where one of them is looked for.
_ODDS = 256


@dataclass(frozen=True)
class Completion:
    """What the model answered.

    tokens: the ids it chose, the one that ends the turn not among them.
    stopped: "end" when the model ended its turn itself, "length" when the limit cut it off,
        "stopped" when somebody asked for it.
    prompt_tokens: how many tokens the question took, template included.
    """

    text: str
    tokens: tuple[int, ...]
    stopped: Literal["end", "length", "stopped"]
    prompt_tokens: int


@dataclass(frozen=True)
class Place:
    """One step of a probe.

    token: the id the model holds for likeliest.
    logprobs: id → natural logarithm of its probability, for the likeliest ones; empty where the
        token is a piece of a character, of which llama.cpp's server reports nothing.
    """

    token: int
    logprobs: dict[int, float]


def unavailable() -> str | None:
    """Why llama.cpp can't run here, or None."""
    if importlib.util.find_spec("xllamacpp") is None:
        return t("export.llama_missing")
    return None


class LlamaCpp:
    """One loaded model; use it as a context manager.

    threads: 0 takes the settings' number, else one for each physical core.
    context: the longest dialogue in tokens, never more than the model was made for.
    log: where llama.cpp's own messages go; a temporary file when None.
    adapter: a LoRA adapter in a GGUF file, which changes the model's answers.
    Every method raises UserError when llama.cpp refuses, dies or takes too long.
    """

    def __init__(
        self,
        path: Path,
        threads: int = 0,
        context: int = 4096,
        log: Path | None = None,
        adapter: Path | None = None,
    ) -> None:
        self._path = path
        self._context = context
        self._llama = LlamaProcess(path, threads, log, adapter)

    def __enter__(self) -> "LlamaCpp":
        if reason := unavailable():
            raise UserError("export.llama_unavailable", reason=reason)
        header = read_header(self._path)
        self._context = min(self._context, header.context_length or self._context)
        try:
            self._llama.start(self._context)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child process and give back what it held."""
        self._llama.close()

    @property
    def context(self) -> int:
        """The longest dialogue in tokens, its answer included; known once the model is open."""
        return self._context

    def tokenize(self, text: str) -> list[int]:
        """The ids of a rendered dialogue, read as llama.cpp reads one: special tokens count."""
        body = {"content": text, "add_special": True, "parse_special": True}
        return [int(i) for i in self._llama.post("/tokenize", body)["tokens"]]

    def render(self, messages: Sequence[Message]) -> str:
        """The dialogue in the words of the model's own chat template, open for its answer."""
        return str(self._llama.post("/apply-template", {"messages": list(messages)})["prompt"])

    def complete(
        self,
        prompt: str | Sequence[int],
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        tell: Callable[[str], None] = lambda text: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Completion:
        """Continue a text or token ids; `tell` gets the text piece by piece as it is written."""
        body = {
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "n_predict": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "return_tokens": True,
        }
        text, tokens = "", []
        stopped: Literal["end", "length", "stopped"] = "stopped"
        prompt_tokens = 0
        # Closing the stream hangs up, and llama.cpp stops computing for nobody.
        with closing(self._llama.stream("/completion", body)) as parts:
            for part in parts:
                text += part["content"]
                tokens += part["tokens"]
                prompt_tokens = part["tokens_evaluated"]
                if part["content"]:
                    tell(part["content"])
                if part["stop"]:
                    stopped = "length" if part["stop_type"] == "limit" else "end"
                elif should_stop():
                    break
        return Completion(text, tuple(tokens), stopped, prompt_tokens)

    def probe(self, prompt: Sequence[int], places: int, n_probs: int = 20) -> list[Place]:
        """Continue `prompt` by the likeliest tokens, past the end of a turn, and tell their odds.

        n_probs: how many of the likeliest tokens to report at each place.
        """
        found: list[Place] = []
        # One request a token: in a longer answer the reports can't be told apart.
        for _ in range(places):
            body = {
                "prompt": [*prompt, *(place.token for place in found)],
                "n_predict": 1,
                "temperature": 0,
                "ignore_eos": True,
                "n_probs": n_probs,
                "return_tokens": True,
            }
            answer = self._llama.post("/completion", body)
            reports = answer.get("completion_probabilities", [])
            odds = reports[0]["top_logprobs"] if reports else []
            logprobs = {int(token["id"]): float(token["logprob"]) for token in odds}
            found.append(Place(answer["tokens"][0], logprobs))
        return found

    def losses(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        """−ln p of each token of an answer that is given; a place nothing is reported of is left
        out, and a token that is not among the likeliest counts as the last of them."""
        found = []
        for i, token in enumerate(answer):
            odds = self.probe([*prompt, *answer[:i]], 1, _ODDS)[0].logprobs
            if odds:
                found.append(-odds.get(token, min(odds.values())))
        return found

    def chat(
        self,
        messages: Sequence[Message],
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        tell: Callable[[str], None] = lambda text: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Completion:
        """Answer a dialogue with the model's own chat template; the rest as in `complete`."""
        prompt = self.tokenize(self.render(messages))
        return self.complete(prompt, max_tokens, temperature, seed, tell, should_stop)


class _LocalOptions(ProviderOptions):
    # On a processor without a graphics card an answer may take many minutes.
    timeout: float = 1800


class _Local:
    """The same as a provider of samples. Its model is the path of a GGUF file."""

    name = "local"
    options: type[ProviderOptions] = _LocalOptions
    default_concurrency = 1
    needs_key = takes_key = False
    local = True

    def unavailable(self) -> str | None:
        return unavailable()

    @asynccontextmanager
    async def open(self, options: ProviderOptions) -> AsyncIterator[Session]:
        path = _gguf(options.model)
        context = min(GENERATION_CONTEXT, read_header(path).context_length or GENERATION_CONTEXT)
        llama = LlamaProcess(path, 0, None)
        try:
            # Loading a model takes seconds, in which others must be heard.
            await asyncio.to_thread(llama.start, context)
            down = RunFatal("providers.local_died", file=path.name)
            url = f"{llama.url}/v1"
            async with Server(url, options.timeout, down, explain, llama.key) as server:
                yield _LocalSession(ChatSession(server, path.name, FREE, {}), llama, down)
        finally:
            await asyncio.to_thread(llama.close)

    async def models(self, options: ProviderOptions) -> list[ModelInfo]:
        return []

    async def account(self, options: ProviderOptions) -> Account:
        """Nothing but that the file is there, and one."""
        read_header(_gguf(options.model))
        return Account()


class _LocalSession:
    terms = FREE

    def __init__(self, chat: ChatSession, llama: LlamaProcess, died: RunFatal) -> None:
        self.model = chat.model
        self._chat = chat
        self._llama = llama
        self._died = died

    async def answer(self, request: Request) -> Reply:
        try:
            return await self._chat.answer(request)
        except Transient as error:
            if self._llama.alive:
                raise
            # Nobody starts it again, so there is nothing to wait for.
            raise self._died from error


def _gguf(model: str) -> Path:
    path = Path(model).expanduser()
    if not model or not path.is_file():
        raise RunFatal("providers.local_no_file", file=model or "–")
    return path


provider = _Local()
