"""Reading files in a child process, so that no file can hurt the one that asks for its text.

A file can make a parser crash, hang, or eat all memory. Here that costs one child process and gives
one UserError; the next file gets a new child. A child that did well reads the next file, too.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from custom_ai import child
from custom_ai.documents.reader import MAX_TEXT, Heading, Parsed, too_much_text
from custom_ai.errors import UserError

Event = dict[str, Any]
# Called with the pages read so far and the number of pages (both 0 while that is unknown), at new
# pages and while there is nothing new. What it raises ends the reading.
Watch = Callable[[int, int], None]

_TICK_SECONDS = 0.1
# Until the child can begin at all; much on a busy machine, where that takes a second.
_START_SECONDS = 60.0
# The child ends itself when its time is over, and says where it hung; only then do we.
_GRACE_SECONDS = 1.0
# A child that had more than this share of its memory and dies wanted more than all of it.
_NEAR = 0.5
# A child that holds more than this between two files is replaced by a fresh one.
_GROWN = 300_000_000
# How many pieces of a text may wait for us; more would only take memory twice.
_MOST_WAITING = 16


@dataclass(frozen=True)
class Limits:
    """What reading one file may take.

    memory: bytes. page_seconds: until another page is read, or the whole file where it has no
    pages. seconds: for the whole file.
    """

    memory: int = 1_500_000_000
    page_seconds: float = 120.0
    # A scanned book of a thousand pages takes hours to recognise, and it can be stopped meanwhile.
    seconds: float = 6 * 3600.0


class ReaderDied(Exception):
    """How the child process ended, for the log; the UserError raised from it is for people."""


class ReaderProcess:
    """Reads one file after the other; started by the first. A context manager: ends with it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._child: _Child | None = None

    def __enter__(self) -> "ReaderProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, path: Path, watch: Watch | None = None) -> Parsed:
        """What `reader.read` finds in a file.

        Raises UserError as that does, and for a file that takes too long, needs too much memory or
        brings its reader down.
        """
        if self._child is None:
            self._child = _Child(self._limits)
        received = _Received(path.name)
        try:
            self._child.send({"path": str(path)})
            while not received.take(self._child.next_event(path, watch)):
                pass
        except BaseException:
            self.close()
            raise
        if received.spent or self._child.memory() > _GROWN:
            self.close()
        return received.parsed()

    def close(self) -> None:
        """End the child process, if there is one; the next file would start another."""
        if self._child:
            self._child.close()
            self._child = None


class _Received:
    """What the child says about one file, put together again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._text: list[str] = []
        self._length = 0
        self._pages: list[int] | None = None
        self._headings: list[Heading] = []
        self._media_type = ""
        self._facts: dict[str, Any] = {}
        self._error: UserError | None = None
        self.spent = False

    def take(self, event: Event) -> bool:
        """Keep what it says; returns whether it was the last word about this file."""
        match event:
            case {"text": text}:
                self._text.append(text)
                self._length += len(text)
                # The child counts as well; but a file may have got the better of it.
                if self._length > MAX_TEXT:
                    raise too_much_text(self._name)
            case {"pages": pages}:
                self._pages = [*(self._pages or []), *pages]
            case {"headings": headings}:
                self._headings += (Heading(*heading) for heading in headings)
            case {"failed": code, "values": values, "spent": spent}:
                self._error, self.spent = UserError(code, **values), spent
                return True
            case {"media_type": media_type, **facts}:
                self._media_type, self._facts = media_type, facts
                return True
        return False

    def parsed(self) -> Parsed:
        if self._error:
            raise self._error
        text = "".join(self._text)
        facts = {**self._facts, "hidden": [(a, b) for a, b in self._facts["hidden"]]}
        return Parsed(text, self._pages, self._headings, self._media_type, **facts)


class _Child:
    """The process itself, and the thread that hears what it says."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process = child.start(
            "custom_ai.documents.reader_worker", [json.dumps(asdict(limits))]
        )
        self._measured = psutil.Process(self._process.pid)
        self._peak = 0
        self._ready = False
        self._started = self._moved = self._checked = 0.0
        self._events: queue.Queue[Event | None] = queue.Queue(_MOST_WAITING)
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()

    def send(self, wish: Event) -> None:
        """Ask for a file. A process that is gone says so itself, where its answer is read."""
        assert self._process.stdin is not None
        self._started = self._moved = time.monotonic()
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(wish).encode() + b"\n")
            self._process.stdin.flush()

    def next_event(self, path: Path, watch: Watch | None) -> Event:
        """What it says next about the file; raises UserError when it dies or passes a limit."""
        place = (0, 0)
        while True:
            try:
                event = self._events.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                self._check(path)
            else:
                if event is None:
                    raise self._last_word(path)
                self._moved = time.monotonic()
                if "ready" in event:
                    self._ready, self._started = True, self._moved
                    continue
                if "page" not in event:
                    return event
                place = (event["page"], event["of"])
                if self._moved - self._checked > _TICK_SECONDS:
                    self._check(path)
            if watch:
                watch(*place)

    def memory(self) -> int:
        """Bytes it holds; 0 when it is gone."""
        try:
            held = int(self._measured.memory_info().rss)
        except psutil.NoSuchProcess:
            return 0
        self._peak = max(self._peak, held)
        return held

    def close(self) -> None:
        """End it, with what it may have started itself; it has nothing to save."""
        self._kill()
        while self._hearing.is_alive():
            # The thread may wait for us to take what nobody wants any more.
            with contextlib.suppress(queue.Empty):
                self._events.get_nowait()
            self._hearing.join(0.01)
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _check(self, path: Path) -> None:
        """The limits seen from here; the child's own are sharper, but not every system has them."""
        self._checked = time.monotonic()
        if self.memory() > self._limits.memory:
            raise self._too_much_memory(path, "ended by us")
        if self._is_late(_GRACE_SECONDS):
            raise self._too_slow(path, "ended by us")

    def _is_late(self, grace: float) -> bool:
        now = time.monotonic()
        if not self._ready:
            return now - self._started > _START_SECONDS
        late_page = now - self._moved > self._limits.page_seconds + grace
        return late_page or now - self._started > self._limits.seconds + grace

    def _last_word(self, path: Path) -> UserError:
        """Why it is gone."""
        status = self._process.wait()
        words = f"exit code {status}"
        if status < 0:
            words = signal.Signals(-status).name
        if words == "SIGXCPU" or self._is_late(-0.5):
            return self._too_slow(path, words)
        # Nobody but the system, when its memory is at an end, kills so.
        if words == "SIGKILL" or self._peak > _NEAR * self._limits.memory:
            return self._too_much_memory(path, words)
        return self._explained("documents.broke_reader", path, words)

    def _too_slow(self, path: Path, words: str) -> UserError:
        seconds = max(1, round(time.monotonic() - self._started))
        return self._explained("documents.timeout", path, words, seconds=seconds)

    def _too_much_memory(self, path: Path, words: str) -> UserError:
        limit = self._limits.memory // 1_000_000
        return self._explained("documents.too_much_memory", path, words, limit=limit)

    def _explained(self, code: str, path: Path, words: str, **values: object) -> UserError:
        seconds = time.monotonic() - self._started
        cause = f"{words} after {seconds:.1f} s, with {self._peak // 1_000_000} MB"
        print(f"The reader of {path} ended: {cause}", file=sys.stderr, flush=True)
        error = UserError(code, name=path.name, **values)
        error.__cause__ = ReaderDied(cause)
        return error

    def _kill(self) -> None:
        if sys.platform == "win32":
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in [*self._measured.children(recursive=True), self._measured]:
                    process.kill()
        else:
            # It leads a group of its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _hear(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                # A process that was killed may have been in the middle of a line.
                if line.endswith(b"\n"):
                    self._events.put(json.loads(line))
        self._events.put(None)
