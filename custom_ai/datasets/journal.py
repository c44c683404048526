"""The journal of a project: every answer of a provider, paid for and kept, one a line.

What people decide about samples stands in it as well. Several processes may write at the same time
(samples are reviewed while others are still being generated), each line under a short lock.
"""

import json
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import filelock

from custom_ai.errors import UserError
from custom_ai.files import LineLog

Record = dict[str, Any]

# split: which piece of which document belongs to which split, fixed before anything is asked
# answer: a finished job, with the model's words;  given_up: a job that found no usable answer
# attempt: an answer nobody can use, noted for what it cost
# begin: how answers are asked for from here on: the options and the prompts, by their version
# judge, verdict, judge_attempt, judge_given_up: the same of a model that scores samples; a verdict
#   names them by their ids and speaks of the words that they had
# imported: a sample from elsewhere, which counts when import_done names its batch
# review: what a person says about the sample with the id `sample`: `instruction`, `output` and
#   `status` where they have something to say, null for "as it was before anybody spoke"
Type = Literal[
    "split", "begin", "answer", "given_up", "attempt", "imported", "import_done", "review",
    "judge", "verdict", "judge_attempt", "judge_given_up",
]  # fmt: skip

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode

# These have an id and count once; a later review of the same sample counts, too.
_FINAL = ("answer", "given_up", "imported")

# A line is written within milliseconds; whoever holds the lock longer has been stopped.
_LOCK_SECONDS = 20.0


@dataclass(frozen=True)
class Mark:
    """A place in a journal: after `size` bytes, the last `line` of which have this checksum."""

    size: int = 0
    line: int = 0
    checksum: int = 0

    def compare(self, path: Path) -> Literal["same", "grown", "other"]:
        """Whether the journal still ends here, goes on from here, or is another one by now."""
        if not path.exists():
            return "same" if self.size == 0 else "other"
        with open(path, "rb") as stream:
            stream.seek(self.size - self.line)
            if zlib.crc32(stream.read(self.line)) != self.checksum:
                return "other"
            return "grown" if b"\n" in stream.read() else "same"


class Reading:
    """A journal read from its beginning, bit by bit while others write it.

    ids: of the finished jobs. ignored: lines left out: changed by a damaged disk, or written twice.
    mark: how far it was read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ids: set[str] = set()
        self.ignored = 0
        self.mark = Mark()

    def news(self) -> Iterator[Record]:
        """The records that were written since the last time, each finished job once.

        A line that is still being written is left for the next time.
        """
        if not self.path.exists():
            return
        with open(self.path, "rb") as lines:
            lines.seek(self.mark.size)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self.mark = Mark(self.mark.size + len(line), len(line), zlib.crc32(line))
                if (record := self._take(line)) is not None:
                    yield record

    def _take(self, line: bytes) -> Record | None:
        record = _whole(line)
        final = record is not None and record["type"] in _FINAL
        if record is None or (final and record["id"] in self.ids):
            self.ignored += 1
            return None
        if final:
            self.ids.add(record["id"])
        return record


class Contents(Reading):
    """A journal with all its records at hand: in the file's order, each finished job once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.records: list[Record] = []
        self.catch_up()

    def catch_up(self) -> None:
        """Take in what was written since."""
        if self.mark.compare(self.path) == "other":
            # Put back from a copy, say. What is known already is left out.
            self.mark = Mark()
        self.records += self.news()

    def of(self, type_: Type) -> Iterator[Record]:
        """The records of one type."""
        return (record for record in self.records if record["type"] == type_)


def read(path: Path) -> Contents:
    """The contents of a journal; a missing file is an empty one."""
    return Contents(path)


class Journal:
    """A journal to write to. Its contents are as the file has them, others' lines included."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with alone(path):
            self.contents = read(path)
            if path.exists() and path.stat().st_size > self.contents.mark.size:
                # Nobody is writing now: the last line was torn by a power loss or a kill.
                self.contents.ignored += 1
            LineLog(path).close()

    def append(self, type_: Type, **values: Any) -> Record:
        """Write one record; when this returns, it is on the disk.

        Raises OSError having written nothing, UserError when the journal can't be had.
        """
        record = {"type": type_, **values}
        append(self.path, record)
        self.contents.catch_up()
        return record


def append(path: Path, *records: Record) -> None:
    """Write records in one go; when this returns, they are on the disk.

    Raises OSError having written none of them, UserError when another process holds the journal.
    """
    with closing(Writer(path)) as writer:
        writer.append(*records)


class Writer:
    """Appends to one journal again and again, at half the cost of `append`; close it in the end.

    The file stays open, but it is locked only while records are written. For one thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = _lock(path)
        self._log: LineLog | None = None

    def append(self, *records: Record) -> None:
        """As the function `append`."""
        self.append_lines("".join(map(line_of, records)))

    def append_lines(self, lines: str) -> None:
        """As `append`, for records that are lines already."""
        # Opening it cuts off a torn last line, and a failed write is taken back. Both are safe only
        # while nobody else is writing.
        with _held(self._lock, self._path):
            if self._log is None:
                self._log = LineLog(self._path)
            else:
                self._log.renew()
            self._log.append_lines(lines)

    def close(self) -> None:
        """Give the file back."""
        if self._log is not None:
            self._log.close()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the only writer of a file for a moment; UserError when another process does not let go."""
    with _held(_lock(path), path):
        yield


def _lock(path: Path) -> filelock.BaseFileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.lock")
    return filelock.FileLock(place, timeout=_LOCK_SECONDS, poll_interval=0.005)


@contextmanager
def _held(lock: filelock.BaseFileLock, path: Path) -> Iterator[None]:
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise UserError("datasets.file_busy", path=path) from error
    try:
        yield
    finally:
        lock.release()


def line_of(record: Record) -> str:
    """The record as a line of the journal: its keys in order, and last their checksum."""
    text = _plain(record)
    return f'{text[:-1]}, "crc": {zlib.crc32(text.encode("utf-8"))}}}\n'


def _whole(line: bytes) -> Record | None:
    """The record of a line, None where it is damaged."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or "type" not in record:
        return None
    crc = record.pop("crc", None)
    # As `line_of` writes it; lines of older versions, or put in order by hand, take longer.
    text, _, _ = line.rpartition(b', "crc": ')
    good = zlib.crc32(text + b"}") == crc or zlib.crc32(_plain(record).encode("utf-8")) == crc
    return record if good else None


def _plain(record: Record) -> str:
    return _encode(record)
