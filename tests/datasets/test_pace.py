"""How many requests go out, and when: rate limits, a limit a minute, and a server that is gone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from custom_ai.datasets import pace as paces
from custom_ai.datasets.pace import Leaving, Pace
from custom_ai.providers.provider import RunFatal, Transient

DOWN = RunFatal("providers.not_reachable", url="x")


def _run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        return await work()

    return asyncio.run(go())


def _gone() -> Transient:
    return Transient("refused", down=DOWN)


def test_scattered_rate_limits_slow_nothing_down() -> None:
    pace = Pace(5)
    for number in range(1000):
        if number % 6 == 0:
            pace.refused(1.0)
        else:
            pace.answered()
    assert pace.limit == 5


@pytest.mark.parametrize("most", [2, 5, 50, 200])
def test_a_server_that_refuses_most_is_asked_less_and_later_more_again(most: int) -> None:
    pace = Pace(most)
    for _ in range(3 * most + 20):
        pace.refused(0.0)
        pace._cool_until = 0.0
    low = pace.limit
    assert 1 <= low < most
    for _ in range(2 * most * most + 100):
        pace.answered()
    assert pace.limit == most


def test_never_more_at_once_than_allowed_and_nobody_is_forgotten() -> None:
    async def work() -> int:
        pace, most = Pace(3), 0

        async def one() -> None:
            nonlocal most
            await pace.enter()
            most = max(most, pace.under_way)
            await asyncio.sleep(0.002)
            pace.answered()
            pace.leave()

        await asyncio.gather(*[one() for _ in range(60)])
        assert pace.under_way == 0
        return most

    assert _run(work) == 3


def test_within_a_minute_no_more_begin_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paces, "MINUTE", 0.4)

    async def work() -> list[float]:
        pace, begun = Pace(10, per_minute=4), []

        async def one() -> None:
            await pace.enter()
            begun.append(time.monotonic())
            pace.leave()

        await asyncio.gather(*[one() for _ in range(10)])
        return begun

    begun = sorted(_run(work))
    assert all(later - earlier >= 0.39 for earlier, later in zip(begun, begun[4:], strict=False))


def test_a_server_that_is_gone_is_tried_by_one_request_at_a_time_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paces, "PROBES", (0.02,))
    told: list[str] = []

    async def work() -> int:
        pace = Pace(5, patience=60, tell=lambda code, **_: told.append(code))
        back = time.monotonic() + 0.3
        tries = 0

        async def one() -> None:
            nonlocal tries
            while True:
                await pace.enter()
                tries += 1
                there = time.monotonic() > back
                (pace.answered if there else lambda: pace.failed(_gone()))()
                pace.leave()
                if there:
                    return

        await asyncio.gather(*[one() for _ in range(20)])
        return tries

    assert _run(work) <= 20 + paces.MAX_UNREACHABLE + 0.3 / 0.02 + 1
    assert told == ["datasets.server_gone", "datasets.server_back"]


def test_a_server_that_stays_away_ends_the_run_for_everybody() -> None:
    async def work() -> list[BaseException]:
        pace = Pace(2, patience=0)
        for _ in range(paces.MAX_UNREACHABLE):
            pace.failed(_gone())
        found = await asyncio.gather(*[pace.enter() for _ in range(4)], return_exceptions=True)
        return [error for error in found if error is not None]

    assert _run(work) == [DOWN] * 4


def test_failures_between_answers_mean_nothing() -> None:
    pace = Pace(5, patience=0)
    for _ in range(50):
        for _ in range(paces.MAX_FAILURES - 1):
            pace.failed(Transient("500"))
        pace.answered()
    assert not pace.down


def test_who_waits_hears_at_once_that_all_is_over() -> None:
    async def work() -> float:
        pace = Pace(1)
        await pace.enter()
        waiting = [asyncio.create_task(pace.enter()) for _ in range(3)]
        resting = asyncio.create_task(pace.rest(60))
        await asyncio.sleep(0.01)
        began = time.monotonic()
        pace.end(Leaving())
        found = await asyncio.gather(*waiting, return_exceptions=True)
        await resting
        assert all(isinstance(error, Leaving) for error in found)
        return time.monotonic() - began

    assert _run(work) < 5


def test_a_turn_meant_for_one_who_was_cancelled_is_not_lost() -> None:
    async def work() -> None:
        pace = Pace(1)
        await pace.enter()
        first, second = asyncio.create_task(pace.enter()), asyncio.create_task(pace.enter())
        await asyncio.sleep(0)
        pace.leave()
        first.cancel()
        await asyncio.wait_for(second, 5)

    _run(work)
