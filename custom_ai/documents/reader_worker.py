"""The child process that reads files: within limits, one after the other, ends with its parent.

Usage: python -m custom_ai.documents.reader_worker LIMITS

LIMITS is a JSON object, see `reader_process.Limits`. JSON lines on stdin: {"path": file}. On
stdout: {"ready"} once, then for each file: {"page", "of"} now and then; {"text"}, {"pages"} and
{"headings"} as often as their size demands, then {"media_type", …}; or {"failed": code, "values",
"spent"}, where `spent` says that this process should not read another one. The process ends when
stdin does, so it can't outlive a parent that was killed.
"""

import contextlib
import faulthandler
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from custom_ai.documents import reader
from custom_ai.errors import UserError, from_exception

Json = dict[str, Any]

# Characters of text, or numbers, in one line to the parent.
_TEXT_PIECE = 1_000_000
_LIST_PIECE = 50_000
_PAGE_SECONDS = 0.1
_LONGEST_REASON = 200


class _Answer:
    """What is said about one file, and the clock that runs while it is read."""

    def __init__(self, path: Path, limits: Json, stream: BinaryIO) -> None:
        self._path = path
        self._limits = limits
        self._stream = stream
        self._ends = time.monotonic() + limits["seconds"]
        self._said = 0.0

    def give(self) -> None:
        """Read the file and say all of it, or what went wrong."""
        found, spent = self._read()
        if isinstance(found, UserError):
            self._say({"failed": found.code, "values": found.values, "spent": spent})
        else:
            self._say_parsed(found)

    def _read(self) -> tuple[reader.Parsed | UserError, bool]:
        """The text or the failure, and whether this process should read another file then.

        When it returns, what was read of a file that filled the memory is gone.
        """
        _limit_processor(self._limits["seconds"])
        try:
            self._wind_up()
            return reader.read(self._path, self._on_page), False
        except UserError as error:
            return error.with_traceback(None), False
        except MemoryError:
            limit = self._limits["memory"] // 1_000_000
            name = self._path.name
            return UserError("documents.too_much_memory", name=name, limit=limit), True
        except Exception as error:
            # To the log. A file that does this to a reader is damaged, or as good as that.
            traceback.print_exception(error)
            return self._as_damage(error), True
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _on_page(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._said >= _PAGE_SECONDS or done == total:
            self._said = now
            self._wind_up()
            self._say({"page": done, "of": total})

    def _wind_up(self) -> None:
        """Time for another page. The clock ends this process even inside of C code that hangs."""
        left = min(self._limits["page_seconds"], self._ends - time.monotonic())
        faulthandler.dump_traceback_later(max(0.01, left), exit=True)

    def _say_parsed(self, parsed: reader.Parsed) -> None:
        for start in range(0, len(parsed.text), _TEXT_PIECE):
            self._say({"text": parsed.text[start : start + _TEXT_PIECE]})
        if parsed.pages is not None:
            for start in range(0, max(1, len(parsed.pages)), _LIST_PIECE):
                self._say({"pages": parsed.pages[start : start + _LIST_PIECE]})
        for start in range(0, len(parsed.headings), _LIST_PIECE):
            self._say({"headings": parsed.headings[start : start + _LIST_PIECE]})
        self._say({"media_type": parsed.media_type, **parsed.facts()})

    def _as_damage(self, error: Exception) -> UserError:
        if isinstance(error, FileNotFoundError):
            return UserError("documents.missing", path=self._path)
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        damage = UserError("documents.corrupt", name=self._path.name, reason=reason)
        return from_exception(error) or damage

    def _say(self, event: Json) -> None:
        _say(self._stream, event)


def _say(stream: BinaryIO, event: Json) -> None:
    # Half of a surrogate pair is no character: "?" stands for it, one for one.
    stream.write(json.dumps(event, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    stream.flush()


def main(limits: Json) -> None:
    """Read files until stdin ends."""
    # Libraries print where they like; only our lines may reach the parent's pipe.
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # A crash inside of C code says where it was.
    faulthandler.enable()
    wishes: queue.Queue[Json] = queue.Queue()
    threading.Thread(target=_listen, args=(wishes,), daemon=True).start()
    _limit_memory(limits["memory"])
    _say(stream, {"ready": True})
    try:
        while True:
            _Answer(Path(wishes.get()["path"]), limits, stream).give()
    except BaseException:
        traceback.print_exc()
    finally:
        # Without waiting for the thread that listens.
        os._exit(1)


def _listen(wishes: "queue.Queue[Json]") -> None:
    for line in sys.stdin:
        wishes.put(json.loads(line))
    # Nobody waits for a text any more: what we have started ourselves goes with us.
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def _limit_memory(size: int) -> None:
    """Where the system has such limits; elsewhere the parent watches."""
    if sys.platform == "win32":
        return
    import resource

    import psutil

    used = psutil.Process().memory_info().vms
    # macOS has the call but does not take the number.
    with contextlib.suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + size, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_processor(seconds: float) -> None:
    """So many more seconds at work, for the case that a file keeps even the clock from running."""
    if sys.platform == "win32":
        return
    import resource

    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 2, most))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
