"""The journal of a project: every answer of a provider, paid for and kept, one a line."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from custom_ai.files import LineLog

Record = dict[str, Any]

# split: which piece of which document belongs to which split, fixed before anything is asked
# answer: a finished job, with the model's words;  given_up: a job that found no usable answer
# attempt: an answer nobody can use, noted for what it cost;  imported: a sample from elsewhere
Type = Literal["split", "answer", "given_up", "attempt", "imported"]

_FINAL = ("answer", "given_up", "imported")


class Contents:
    """What a journal holds.

    records: in the file's order, each finished job once. ids: of the finished jobs.
    ignored: lines left out: torn by a power loss, changed by a damaged disk, or written twice.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.ids: set[str] = set()
        self.ignored = 0

    def of(self, type_: Type) -> Iterator[Record]:
        """The records of one type."""
        return (record for record in self.records if record["type"] == type_)

    def take(self, record: Record | None) -> None:
        """Add a record, or None for a damaged line."""
        if record is None or (record["type"] in _FINAL and record["id"] in self.ids):
            self.ignored += 1
            return
        if record["type"] in _FINAL:
            self.ids.add(record["id"])
        self.records.append(record)


def read(path: Path) -> Contents:
    """The contents of a journal; a missing file is an empty one."""
    contents = Contents()
    for record in _lines(path):
        contents.take(record)
    return contents


class Journal:
    """A journal open for writing, by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.contents = read(path)
        self._log = LineLog(path)

    def append(self, type_: Type, **values: Any) -> Record:
        """Write one record; when this returns, it is on the disk.

        Raises OSError having written nothing.
        """
        record = {"type": type_, **values}
        self._log.append({**record, "crc": _checksum(record)})
        self.contents.take(record)
        return record

    def close(self) -> None:
        """Give the file back."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _lines(path: Path) -> Iterator[Record | None]:
    """Each line as its record, or None where it is damaged."""
    if not path.exists():
        return
    with open(path, "rb") as lines:
        for line in lines:
            yield _whole(line)


def _whole(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.pop("crc", None) != _checksum(record):
        return None
    return record


def _checksum(record: Record) -> int:
    return zlib.crc32(json.dumps(record, ensure_ascii=False, sort_keys=True).encode("utf-8"))
