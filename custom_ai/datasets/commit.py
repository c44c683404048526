"""Group commit: records that wait together reach the disk together, off the event loop."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from custom_ai.datasets.journal import Record, Type, Writer, line_of

# To lock, write and force to the disk takes the processor about as long for one answer as for
# many. So where several are asked at once, the first of a group waits this long for others. A
# model takes seconds for an answer: a kill, or a power cut, costs one or two that wait, and those
# that are under way.
GATHER_SECONDS = 0.1


class Commits:
    """Writes records to a journal for many tasks at once; use it as an async context manager.

    A disk takes about as long for one record as for a hundred. So what arrives while a group is
    being written waits for the next group, and no request waits for more than two of them.
    gather: seconds that the first record of a group waits for others; see `hurry`.
    """

    def __init__(self, path: Path, gather: float = 0.0) -> None:
        self._writer = Writer(path)
        self._gather = gather
        self._alone = asyncio.Event()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._work: asyncio.Task[None] | None = None
        # One thread: the groups stand in the file in their order.
        self._thread = ThreadPoolExecutor(1, "journal")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._work is not None:
            await self._work
        self._thread.shutdown()
        self._writer.close()

    async def append(self, type_: Type, **values: Any) -> Record:
        """Write one record; when this returns, it is on the disk.

        It is written even when the task that waits for it is cancelled meanwhile. Raises OSError or
        UserError, having written nothing.
        """
        record = {"type": type_, **values}
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The line is made here, where the record is at hand; the thread only waits for the disk.
        self._waiting.append((line_of(record), written))
        if self._work is None:
            self._work = asyncio.create_task(self._write())
        await written
        return record

    def hurry(self) -> None:
        """Write now what waits: no others will come."""
        self._alone.set()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if self._gather:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._gather):
                        await self._alone.wait()
                self._alone.clear()
            group, self._waiting = self._waiting, []
            lines = "".join(line for line, _ in group)
            try:
                await loop.run_in_executor(self._thread, self._writer.append_lines, lines)
            except Exception as error:  # each of those who wait for the disk is told
                _tell(group, error)
            else:
                _tell(group, None)
        self._work = None


def _tell(group: list[tuple[str, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, written in group:
        if written.done():
            # The task that waited was cancelled.
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(error)
