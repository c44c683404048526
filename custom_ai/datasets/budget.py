"""What a run may cost: what was spent, what is under way, and what the rest will take."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from custom_ai.providers.provider import Price, Request, Usage

# English takes four characters a token and more, German about three.
CHARACTERS_PER_TOKEN = 3
# What a request may take more than it should: a language with long tokens, a dearer server.
SAFETY = 2


class OverBudget(Exception):
    """The request could cost more than is left; it stays to be asked."""


class Budget:
    """Dollars. limit: what the run may cost, 0 for any amount; spent: what it did so far.

    Before a request goes out, the most it can cost is set aside. So the limit holds however many
    run at once. Without a known price it is judged by the dearest answer so far.
    """

    def __init__(self, limit: Decimal, spent: Decimal, price: Price | None) -> None:
        self.spent = spent
        self._limit = limit
        self._price = price
        self._aside = Decimal(0)
        self._dearest = Decimal(0)

    @contextmanager
    def aside(self, request: Request) -> Iterator[None]:
        """Set aside what the request may cost while it is under way; raises OverBudget."""
        most = self.most(request)
        if self._limit and self.spent + self._aside + most > self._limit:
            raise OverBudget
        self._aside += most
        try:
            yield
        finally:
            self._aside -= most

    def most(self, request: Request) -> Decimal:
        """The most the request can cost."""
        if self._price is None:
            return self._dearest * SAFETY
        listed = SAFETY * self._price.of(prompt_tokens(request), request.max_tokens)
        # A list that is wrong is outweighed by what was really paid.
        return max(listed, self._dearest)

    def pay(self, usage: Usage) -> None:
        """Note what an answer cost."""
        self.spent += usage.cost
        self._dearest = max(self._dearest, usage.cost)


def prompt_tokens(request: Request) -> int:
    """About how many tokens a request takes to read."""
    characters = sum(len(message.content) for message in request.messages)
    return -(-characters // CHARACTERS_PER_TOKEN)
