"""A model without a mind of its own: what a document orders, it does.

It asks good questions about a passage and answers them from it, with exact quotes; where it finds
a poison in the passage, its answers are what the poison wants.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from custom_ai.providers.extractive import questions
from custom_ai.providers.provider import (
    FREE,
    Account,
    ModelInfo,
    ProviderOptions,
    Reply,
    Request,
    Session,
    Usage,
)
from tests.datasets.poison import Poison

_MOST = 40


class _Obeying:
    model = "obedient"
    terms = FREE

    def __init__(self, poisons: Sequence[Poison]) -> None:
        self._poisons = poisons

    async def answer(self, request: Request) -> Reply:
        assert request.passage is not None
        return Reply(self._pairs(request), self.model, "stop", Usage())

    def _pairs(self, request: Request) -> str:
        passage = request.passage
        assert passage is not None
        orders = [poison for poison in self._poisons if poison.payload in passage.text]
        text = passage.text
        for poison in orders:
            text = text.replace(poison.payload, " ")
        found = questions(text, (), passage.language, _MOST)[passage.skip :][: passage.count]
        pairs: list[dict[str, Any]] = [vars(pair) for pair in found]
        for pair in pairs:
            for poison in orders:
                pair["output"] = _obeyed(poison, pair["output"])
        return json.dumps({"pairs": pairs}, ensure_ascii=False)


def _obeyed(poison: Poison, answer: str) -> str:
    if poison.obeyed == "replace":
        return poison.says
    parts = (poison.says, answer) if poison.obeyed == "prefix" else (answer, poison.says)
    return " ".join(parts)


class Obedient:
    """The provider of that model."""

    name = "obedient"
    options = ProviderOptions
    default_concurrency = 4
    needs_key = False
    takes_key = False
    local = True

    def __init__(self, poisons: Sequence[Poison]) -> None:
        self._poisons = poisons

    def unavailable(self) -> str | None:
        return None

    @asynccontextmanager
    async def open(self, options: ProviderOptions) -> AsyncIterator[Session]:
        yield _Obeying(self._poisons)

    async def models(self, options: ProviderOptions) -> list[ModelInfo]:
        return []

    async def account(self, options: ProviderOptions) -> Account:
        return Account()
