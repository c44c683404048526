"""What every language model that answers looks like to the rest: shapes, errors, discovery.

A provider is one file of this folder. Its name is the provider's name, and it holds one object
`provider` (see `Provider`).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import Field

from custom_ai.errors import UserError
from custom_ai.options import Options

FinishReason = Literal["stop", "length"]

_HOLDS_PROVIDER = re.compile(r"^provider(: \w+)? = ", re.MULTILINE)


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Passage:
    """The text a request is about, for providers that read it instead of the messages.

    count: how many pairs are wanted; skip: how many were already given for this passage.
    """

    text: str
    filename: str
    heading_path: tuple[str, ...]
    language: str
    count: int
    skip: int = 0


@dataclass(frozen=True)
class Request:
    """One question to a model. schema: a JSON schema the reply must follow, or None for prose."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None
    max_tokens: int
    temperature: float
    seed: int
    passage: Passage | None = None


@dataclass(frozen=True)
class Usage:
    """What a reply took: tokens, and US dollars."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Decimal = Decimal(0)


@dataclass(frozen=True)
class Reply:
    """What a model said. finish_reason "length": it was cut off."""

    text: str
    model: str
    finish_reason: FinishReason
    usage: Usage


@dataclass(frozen=True)
class Price:
    """What a model costs: US dollars per token read and per token written, and per request."""

    prompt: Decimal = Decimal(0)
    completion: Decimal = Decimal(0)
    request: Decimal = Decimal(0)

    def of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """What one request of that size costs."""
        return (
            self.request + self.prompt * prompt_tokens + self.completion * completion_tokens
        ).normalize()


@dataclass(frozen=True)
class ModelInfo:
    """One model a provider offers.

    context: the longest dialogue in tokens, 0 where nobody says. price: None where nobody says.
    schemas: whether it can be held to a JSON schema; None where nobody says. size: bytes of its
    weights on this machine or the server's, 0 where nobody says. expires: the day it is taken
    away, empty for never.
    """

    name: str
    title: str = ""
    context: int = 0
    price: Price | None = None
    schemas: bool | None = None
    size: int = 0
    expires: str = ""

    @property
    def free(self) -> bool:
        """Whether it is known to cost nothing."""
        return self.price == Price()


@dataclass(frozen=True)
class Account:
    """What a provider says about the account behind a key; None: it does not say, or no limit.

    credit: US dollars left. free_left, free_limit: requests to free models, of this day.
    """

    label: str = ""
    credit: Decimal | None = None
    free_left: int | None = None
    free_limit: int | None = None


@dataclass(frozen=True)
class Terms:
    """Under which terms a session's model answers.

    price: None where it is unknown. per_minute: how many requests a minute are allowed, 0 for as
    many as it can take. by_day: the account may make only so many requests a day.
    """

    price: Price | None = None
    per_minute: int = 0
    by_day: bool = False


FREE = Terms(Price())


class RunFatal(UserError):
    """No request of this run can succeed (wrong key, no credit, unknown model, no server)."""


class JobFatal(Exception):
    """This one request can't succeed, others may (too long, refused by moderation)."""


class TooLong(JobFatal):
    """The request is longer than the model's context; a shorter one may succeed."""


class Transient(Exception):
    """The same request may succeed later.

    after: seconds the server asked us to wait, or None. rate_limited: it said we ask too much.
    down: set when the server could not be reached at all; what to tell people if that goes on.
    """

    def __init__(
        self,
        reason: str,
        after: float | None = None,
        rate_limited: bool = False,
        down: RunFatal | None = None,
    ) -> None:
        super().__init__(reason)
        self.after = after
        self.rate_limited = rate_limited
        self.down = down


class BadOutput(Exception):
    """The model answered, and paid for it is, but nobody can use the answer."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.usage = usage or Usage()


class ProviderOptions(Options):
    """How to reach a model. An empty base_url means the one of the settings."""

    texts: ClassVar[str] = "providers"

    model: str = ""
    base_url: str = ""
    timeout: float = Field(default=180, gt=0, le=7200)


class Session(Protocol):
    """An open connection to one model; `answer` may be awaited many times at once."""

    @property
    def model(self) -> str:
        """The model's full name."""
        ...

    @property
    def terms(self) -> Terms:
        """What it costs, and how much may be asked."""
        ...

    async def answer(self, request: Request) -> Reply:
        """Answer, or raise RunFatal, JobFatal, Transient or BadOutput."""
        ...


class Provider(Protocol):
    """The object `provider` of each file.

    needs_key: nothing can be asked without a key. takes_key: one may be kept for it. local: no
    document leaves this machine, as long as the address is one of it.
    """

    name: str
    options: type[ProviderOptions]
    default_concurrency: int
    needs_key: bool
    takes_key: bool
    local: bool

    def unavailable(self) -> str | None:
        """Why it can't be used on this machine, in the user's words; None if it can.

        Fast and offline: says nothing about whether a server runs.
        """
        ...

    def open(self, options: ProviderOptions) -> AbstractAsyncContextManager[Session]:
        """A session; entering it raises RunFatal when the server or the model is not there."""
        ...

    async def models(self, options: ProviderOptions) -> list[ModelInfo]:
        """The models it offers, by name. Raises UserError when it can't be asked."""
        ...

    async def account(self, options: ProviderOptions) -> Account:
        """Whether server and key are good, at no cost. Raises UserError when they are not."""
        ...


@cache
def names() -> tuple[str, ...]:
    """Every provider, by the names of the files that hold one; imports none of them."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple(f.stem for f in files if _HOLDS_PROVIDER.search(f.read_text(encoding="utf-8")))


def find(name: str) -> Provider:
    """The provider of that name; raises UserError for an unknown one."""
    if name not in names():
        raise UserError("providers.unknown", name=name, known=", ".join(names()))
    provider: Provider = importlib.import_module(f"custom_ai.providers.{name}").provider
    return provider
