"""When the next request may go out: how many at once or a minute, and is the server there."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from custom_ai.providers.provider import RunFatal, Transient

# A few rate limits among many answers mean nothing: only the request concerned waits. Fewer
# requests run at once when this share of the last ones was refused, and then for a while none.
MUCH_REFUSED = 0.3
LEAST_WINDOW = 20
CUT = 0.75
COOL_SECONDS = 2.0

# So many failures in a row, without one answer between them, mean that the server is the problem.
MAX_FAILURES = 10
# Nobody there at all: that is clear sooner.
MAX_UNREACHABLE = 3
# Seconds before a server that is gone is tried again, for the first, the second … time.
PROBES = (1.0, 2.0, 4.0, 8.0, 15.0)

MINUTE = 60.0


class Leaving(Exception):
    """Somebody asked to stop while the job was waiting; it stays to be asked."""


class Pace:
    """Gives out turns. A request takes one with `enter` and gives it back with `leave`.

    most: how many requests run at once at best; `limit` is how many do now.
    per_minute: how many may begin within a minute; 0 for any number.
    patience: seconds that a server may be gone before the run ends.
    tell: hears the code and the values of what people should know. freed: is called when a turn
    is free and nobody stands in line for it.
    """

    def __init__(
        self,
        most: int,
        per_minute: int = 0,
        patience: float = 300.0,
        tell: Callable[..., None] = lambda code, **values: None,
        freed: Callable[[], None] = lambda: None,
    ) -> None:
        self.most = self.limit = most
        self.under_way = self.resting = 0
        self.answers = self.outages = 0
        self.seconds_down = 0.0
        self._patience = patience
        self._tell = tell
        self._freed = freed
        self._begun: deque[float] = deque(maxlen=per_minute or None)
        self._per_minute = per_minute
        self._recent: deque[bool] = deque()
        self._streak = 0
        self._cool_until = 0.0
        self._failures = self._unreachable = 0
        self._outage: _Outage | None = None
        self._ended: BaseException | None = None
        self._over = asyncio.Event()
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def down(self) -> bool:
        """Whether the server is gone, as far as we know."""
        return self._outage is not None

    def end(self, error: BaseException) -> None:
        """Nobody gets a turn any more: everybody who waits, or comes later, gets this error."""
        if self._ended is None:
            self._ended = error
            self._over.set()
            self._wake_all()

    async def enter(self) -> None:
        """Wait for a turn. Raises what `end` was given."""
        while True:
            if self._ended is not None:
                # One error for many waiting tasks: each gets it fresh, without the others' stories.
                raise self._ended.with_traceback(None)
            if self.under_way < (1 if self._outage else self.limit):
                seconds = self._not_before() - time.monotonic()
                if seconds <= 0:
                    break
                await self._change(seconds)
            else:
                await self._change(None)
        self.under_way += 1
        if self._per_minute:
            self._begun.append(time.monotonic())

    def leave(self) -> None:
        """Give the turn back."""
        self.under_way -= 1
        self._wake()

    async def rest(self, seconds: float) -> None:
        """Wait without a turn, so that others can have it; ends early when everything does."""
        self.resting += 1
        try:
            await asyncio.wait_for(self._over.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            self.resting -= 1

    def answered(self) -> None:
        """An answer came, useful or not: the server is well."""
        self.answers += 1
        self._alive()
        self._note(refused=False)
        self._streak += 1
        if self._streak >= 2 * self.limit and self.limit < self.most:
            self.limit += 1
            self._streak = 0
            self._wake()

    def refused(self, after: float | None) -> None:
        """The server said that we ask too much."""
        self._alive()
        self._note(refused=True)
        self._streak = 0
        now = time.monotonic()
        window = self._window
        if sum(self._recent) >= MUCH_REFUSED * window and now >= self._cool_until:
            self.limit = max(1, int(self.limit * CUT))
            self._cool_until = now + (after or COOL_SECONDS)
            self._recent.clear()

    def failed(self, error: Transient) -> None:
        """The server failed, or could not be reached."""
        self._failures += 1
        self._unreachable = self._unreachable + 1 if error.down else 0
        gone = self._unreachable >= MAX_UNREACHABLE or self._failures >= MAX_FAILURES
        if self._outage or gone:
            self.doubt(error)

    def doubt(self, error: Transient) -> None:
        """The server is the problem: only one request at a time finds out when it is back."""
        reason = error.down or RunFatal("datasets.server_failing", reason=error)
        if self._outage is None:
            self._outage = _Outage()
            self.outages += 1
            self._tell("datasets.server_gone", reason=reason.message)
        elif time.monotonic() < self._outage.next_try:
            # It was under way when the server went, and says nothing new.
            return
        if self._outage.lasts() + self._outage.next_wait > self._patience:
            self.end(reason)
        self._outage.tried()

    @property
    def _window(self) -> int:
        return max(LEAST_WINDOW, 2 * self.limit)

    def _note(self, refused: bool) -> None:
        self._recent.append(refused)
        while len(self._recent) > self._window:
            self._recent.popleft()

    def _alive(self) -> None:
        self._failures = self._unreachable = 0
        if self._outage is not None:
            seconds = self._outage.lasts()
            self.seconds_down += seconds
            self._outage = None
            self._tell("datasets.server_back", seconds=round(seconds))
            self._wake_all()

    def _not_before(self) -> float:
        """The moment, in seconds of the monotonic clock, before which no request may begin."""
        moment = self._cool_until
        if self._outage is not None:
            moment = max(moment, self._outage.next_try)
        if self._per_minute and len(self._begun) == self._per_minute:
            moment = max(moment, self._begun[0] + MINUTE)
        return moment

    async def _change(self, seconds: float | None) -> None:
        """Wait until something changes, but at most so long."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await asyncio.wait_for(place, seconds)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            # The turn that was meant for this one must not get lost.
            if place.done() and not place.cancelled():
                self._wake()
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._line.remove(place)

    def _wake(self) -> None:
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._freed()

    def _wake_all(self) -> None:
        for place in list(self._line):
            if not place.done():
                place.set_result(None)


class _Outage:
    """A server that is gone: since when, and when it is tried again."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._tries = 0
        self.next_try = self._since

    @property
    def next_wait(self) -> float:
        return PROBES[min(self._tries, len(PROBES) - 1)]

    def lasts(self) -> float:
        """For how many seconds."""
        return time.monotonic() - self._since

    def tried(self) -> None:
        """It was tried, in vain."""
        self.next_try = time.monotonic() + self.next_wait
        self._tries += 1
