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


class RunFatal(UserError):
    """No request of this run can succeed (wrong key, no credit, unknown model, no server)."""


class JobFatal(Exception):
    """This one request can't succeed, others may (too long, refused by moderation)."""


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

    async def answer(self, request: Request) -> Reply:
        """Answer, or raise RunFatal, JobFatal, Transient or BadOutput."""
        ...


class Provider(Protocol):
    """The object `provider` of each file."""

    name: str
    options: type[ProviderOptions]
    default_concurrency: int
    needs_key: bool
    local: bool

    def unavailable(self) -> str | None:
        """Why it can't be used on this machine, in the user's words; None if it can.

        Fast and offline: says nothing about whether a server runs.
        """
        ...

    def open(self, options: ProviderOptions) -> AbstractAsyncContextManager[Session]:
        """A session; entering it raises RunFatal when the server or the model is not there."""
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
