"""One job asked until it has a usable answer: which failure deserves how much patience."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from custom_ai.datasets.budget import Budget
from custom_ai.datasets.checks import parse_pairs
from custom_ai.datasets.pace import Pace
from custom_ai.providers.provider import (
    BadOutput,
    JobFatal,
    Reply,
    Request,
    RunFatal,
    Session,
    TooLong,
    Transient,
    Usage,
)

MAX_DELAY = 60.0


@dataclass(frozen=True)
class Patience:
    """How often and how long to try again.

    retries: after failures of the server or the network. delay: seconds before the first of them;
    it doubles each time. bad_outputs: how many useless answers are asked anew. longest_wait:
    seconds that one job waits because it was told to, all in all, before the run stops.
    """

    retries: int = 3
    delay: float = 1.0
    bad_outputs: int = 2
    longest_wait: float = 900.0


class GivenUp(Exception):
    """No usable answer, and the job is at fault. too_long: a shorter passage may have one."""

    def __init__(self, reason: str, too_long: bool = False) -> None:
        super().__init__(reason)
        self.too_long = too_long


class Asker:
    """Asks one model. `requests` counts what went out.

    read: raises BadOutput for a text that is no usable answer; it gets the text and the count.
    """

    def __init__(
        self,
        session: Session,
        pace: Pace,
        budget: Budget,
        patience: Patience,
        read: Callable[[str, int], object] = parse_pairs,
    ) -> None:
        self.requests = 0
        self._read = read
        self._session = session
        self._pace = pace
        self._budget = budget
        self._patience = patience

    async def ask(
        self, request: Request, count: int, wasted: Callable[[Usage, str], Awaitable[None]]
    ) -> Reply:
        """A reply that holds up to `count` pairs in good form.

        wasted: called with the price of each answer that can't be used, and why not.
        Raises RunFatal, GivenUp, Leaving or OverBudget.
        """
        failures = limits = bad = 0
        waited = 0.0
        answers, outages = self._pace.answers, self._pace.outages
        while True:
            try:
                return await self._once(request, count)
            except JobFatal as error:
                raise GivenUp(str(error), isinstance(error, TooLong)) from error
            except BadOutput as error:
                await wasted(error.usage, str(error))
                bad += 1
                if bad > self._patience.bad_outputs:
                    raise GivenUp(str(error)) from error
                request = _varied(request, str(error))
                continue
            except Transient as error:
                if error.rate_limited:
                    # A rate limit says "later", not "no": it does not use up the retries.
                    limits += 1
                    pause = self._pause(error, limits)
                    waited += pause
                    if waited > self._patience.longest_wait:
                        raise RunFatal("datasets.rate_limited", seconds=round(pause)) from error
                else:
                    if self._pace.outages > outages:
                        # What failed while the server was gone was not this job's fault.
                        answers, outages, failures = self._pace.answers, self._pace.outages, 0
                    # A server that can't be reached has not even seen it.
                    failures += not (self._pace.down or error.down)
                    if failures > self._patience.retries:
                        if self._pace.answers > answers:
                            # Others were answered meanwhile: it is this job that can't be.
                            raise GivenUp(str(error)) from error
                        self._pace.doubt(error)
                    pause = self._pause(error, failures)
            await self._pace.rest(pause)

    async def _once(self, request: Request, count: int) -> Reply:
        """One request in its turn; the pace hears what became of it."""
        await self._pace.enter()
        try:
            with self._budget.aside(request):
                reply = await self._answer(request)
        except (JobFatal, BadOutput):
            self._pace.answered()
            raise
        except Transient as error:
            if error.rate_limited:
                self._pace.refused(error.after)
            else:
                self._pace.failed(error)
            raise
        finally:
            self._pace.leave()
        self._pace.answered()
        if reply.finish_reason == "length":
            # A repaired half answer would teach half sentences.
            raise BadOutput("cut off", reply.usage)
        try:
            self._read(reply.text, count)
        except BadOutput as error:
            raise BadOutput(str(error), reply.usage) from error
        return reply

    async def _answer(self, request: Request) -> Reply:
        self.requests += 1
        try:
            reply = await self._session.answer(request)
        except BadOutput as error:
            self._budget.pay(error.usage)
            raise
        self._budget.pay(reply.usage)
        return reply

    def _pause(self, error: Transient, failures: int) -> float:
        delay = min(MAX_DELAY, self._patience.delay * 2.0 ** min(max(failures - 1, 0), 10))
        # Spread, so that requests that failed together do not come back together.
        return max(error.after or 0.0, delay) * random.uniform(1.0, 1.2)


def _varied(request: Request, reason: str) -> Request:
    """The request that may fare better: with more room, or with other luck."""
    more = 2 if reason == "cut off" else 1
    return replace(request, max_tokens=request.max_tokens * more, seed=request.seed + 1)
