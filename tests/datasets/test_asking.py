"""Which failures are a job's own, and which are the server's."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from custom_ai.datasets.asking import Asker, GivenUp, Patience
from custom_ai.datasets.budget import Budget
from custom_ai.datasets.pace import Pace
from custom_ai.providers.provider import FREE, Reply, Request, RunFatal, Transient, Usage

GOOD = '{"pairs": [{"instruction": "What is it?", "output": "It is a lamp."}]}'
DOWN = RunFatal("providers.not_reachable", url="x")


class _Session:
    """Fails in the ways it is told to, then answers. Beside each failure others are answered."""

    model, terms = "maker/model", FREE

    def __init__(self, failures: Sequence[Exception]) -> None:
        self.failures = list(failures)
        self.pace = Pace(5)

    async def answer(self, request: Request) -> Reply:
        self.pace.answered()
        if self.failures:
            raise self.failures.pop(0)
        return Reply(GOOD, self.model, "stop", Usage())


def _ask(failures: Sequence[Exception], retries: int) -> Reply:
    async def wasted(usage: Usage, reason: str) -> None:
        raise AssertionError(reason)

    async def go() -> Reply:
        session = _Session(failures)
        budget = Budget(Decimal(0), Decimal(0), FREE.price)
        asker = Asker(session, session.pace, budget, Patience(retries, delay=0.001))
        request = Request((), schema=None, max_tokens=10, temperature=0, seed=0)
        return await asker.ask(request, 1, wasted)

    return asyncio.run(go())


def test_a_job_that_fails_while_others_are_answered_is_given_up() -> None:
    with pytest.raises(GivenUp, match="500"):
        _ask([Transient("500 broken")] * 3, retries=2)


def test_a_server_that_cant_be_reached_is_never_a_jobs_fault() -> None:
    assert _ask([Transient("refused", down=DOWN)] * 6, retries=2).text == GOOD
