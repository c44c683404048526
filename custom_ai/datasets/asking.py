"""One job asked until it has a usable answer: which failure deserves how much patience."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from custom_ai.datasets.checks import parse_pairs
from custom_ai.providers.provider import (
    BadOutput,
    JobFatal,
    Reply,
    Request,
    RunFatal,
    Session,
    Transient,
    Usage,
)

MAX_DELAY = 60.0


@dataclass(frozen=True)
class Patience:
    """How often and how long to try again.

    retries: after failures of the server or the network. delay: seconds before the first of them;
    it doubles each time. bad_outputs: how many useless answers are asked anew. longest_wait:
    seconds that one job waits, all in all, before the run stops.
    """

    retries: int = 3
    delay: float = 1.0
    bad_outputs: int = 2
    longest_wait: float = 900.0


class GivenUp(Exception):
    """No usable answer. alive: the server works and this job is at fault."""

    def __init__(self, reason: str, alive: bool) -> None:
        super().__init__(reason)
        self.alive = alive


class Leaving(Exception):
    """Somebody asked to stop while the job was waiting; it stays to be asked."""


class Asker:
    """Asks one model; `requests` counts what went out, setting `leaving` ends all waiting."""

    def __init__(self, session: Session, patience: Patience) -> None:
        self.requests = 0
        self.leaving = asyncio.Event()
        self._session = session
        self._patience = patience

    async def ask(
        self, request: Request, count: int, wasted: Callable[[Usage, str], None]
    ) -> Reply:
        """A reply that holds up to `count` pairs in good form.

        wasted: called with the price of each answer that can't be used, and why not.
        Raises RunFatal, GivenUp, or Leaving.
        """
        failures = limits = bad = 0
        waited = 0.0
        while True:
            try:
                return await self._once(request, count)
            except JobFatal as error:
                raise GivenUp(str(error), alive=True) from error
            except BadOutput as error:
                wasted(error.usage, str(error))
                bad += 1
                if bad > self._patience.bad_outputs:
                    raise GivenUp(str(error), alive=True) from error
                request = _varied(request, str(error))
            except Transient as error:
                # A rate limit says "later", not "no": it does not use up the retries.
                limits += error.rate_limited
                failures += not error.rate_limited
                if failures > self._patience.retries:
                    raise error.down or GivenUp(str(error), alive=False) from error
                pause = self._pause(error, limits if error.rate_limited else failures)
                waited += pause
                if waited > self._patience.longest_wait:
                    raise RunFatal("datasets.rate_limited", seconds=round(pause)) from error
                await self._wait(pause)

    async def _once(self, request: Request, count: int) -> Reply:
        if self.leaving.is_set():
            raise Leaving
        self.requests += 1
        reply = await self._session.answer(request)
        if reply.finish_reason == "length":
            # A repaired half answer would teach half sentences.
            raise BadOutput("cut off", reply.usage)
        try:
            parse_pairs(reply.text, count)
        except BadOutput as error:
            raise BadOutput(str(error), reply.usage) from error
        return reply

    def _pause(self, error: Transient, failures: int) -> float:
        delay = min(MAX_DELAY, self._patience.delay * 2.0 ** (failures - 1))
        # Spread, so that requests that failed together do not come back together.
        return max(error.after or 0.0, delay) * random.uniform(1.0, 1.2)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.leaving.wait(), seconds)


def _varied(request: Request, reason: str) -> Request:
    """The request that may fare better: with more room, or with other luck."""
    more = 2 if reason == "cut off" else 1
    return replace(request, max_tokens=request.max_tokens * more, seed=request.seed + 1)
