"""Files that appear complete or not at all, and logs that lose nothing that was acknowledged."""

import contextlib
import glob
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from custom_ai.errors import UserError


@contextlib.contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes its place, or that of an older one, only when it is whole.

    Yields a stream to write bytes to: beside `path`, forced to disk, renamed at the end of the
    block. On failure nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    # Two threads may write the same file at once; the last one wins, whole.
    beside = path.with_name(f".{path.name}.{threading.get_ident()}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` in one step: write beside it, force to disk, rename."""
    with complete_file(path) as stream:
        stream.write(data)


def _remove_leftovers(path: Path) -> None:
    """Remove what a process left that was killed while it wrote this very file."""
    for beside in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        owner = beside.name.split(".")[-2]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """As write_bytes, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """As write_text, indented for people."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a damaged one is a UserError that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError("errors.damaged_file", path=path, reason=error) from error


def sync_folder(folder: Path) -> None:
    """Force a rename inside `folder` to disk (Windows has no such call and needs none)."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def complete_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears under its name only when it is whole.

    Yields the folder to write into. On success every file is forced to disk and the folder takes
    the place of an older one of the same name; on failure nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    finish_replacement(path)
    beside = path.with_name(f"{path.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        for file in sorted(beside.rglob("*")):
            if file.is_file():
                with open(file, "rb+") as stream:
                    os.fsync(stream.fileno())
        _replace_folder(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _replace_folder(new: Path, path: Path) -> None:
    # A folder can't be replaced in one call; `.old` marks the short moment between the two.
    old = path.with_name(f"{path.name}.old")
    if path.exists():
        os.replace(path, old)
    os.replace(new, path)
    sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def finish_replacement(path: Path) -> None:
    """Tidy up after a kill inside complete_folder: bring back or remove the older folder."""
    old = path.with_name(f"{path.name}.old")
    if old.exists():
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(old, path)
    shutil.rmtree(path.with_name(f"{path.name}.partial"), ignore_errors=True)


_encode = json.JSONEncoder(ensure_ascii=False).encode


class LineLog:
    """An append-only file of JSON objects, one a line, that one process writes.

    A record is acknowledged when `append` returns: with `durable` it is on the disk by then. A
    torn last line, left by a power loss, is cut off on opening; a failed write is taken back, so
    that the file always ends in a whole record.
    """

    def __init__(self, path: Path, durable: bool = True) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._durable = durable
        self._open()

    def append(self, *records: Any) -> None:
        """Write the records as whole lines; raises OSError, having written none of them."""
        self.append_lines("".join(_encode(record) + "\n" for record in records))

    def append_lines(self, lines: str) -> None:
        """As append, for records that are lines of JSON already, each with its newline."""
        size = os.fstat(self._handle).st_size
        rest = memoryview(lines.encode("utf-8"))
        written = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            if self._durable:
                os.fsync(self._handle)
            self._end = size + written
        except OSError as error:
            os.ftruncate(self._handle, size)
            error.filename = error.filename or str(self.path)
            raise

    def renew(self) -> None:
        """Be as if opened just now, where others may have written, or put another file there.

        Only for whoever sees to it that nobody writes at this moment.
        """
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(there, os.fstat(self._handle)):
            before = self._handle
            self._open()
            os.close(before)
        elif there.st_size != self._end:
            self._cut_torn_tail()

    def close(self) -> None:
        """Give the file back; appending afterwards fails."""
        os.close(self._handle)

    def __enter__(self) -> "LineLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._cut_torn_tail()

    def _cut_torn_tail(self) -> None:
        size = os.fstat(self._handle).st_size
        end = size
        while end > 0:
            start = max(0, end - 65536)
            os.lseek(self._handle, start, os.SEEK_SET)
            newline = os.read(self._handle, end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end != size:
            os.ftruncate(self._handle, end)
        self._end = end


def read_lines(path: Path, offset: int = 0) -> tuple[list[Any], int]:
    """The whole records of a LineLog from byte `offset` on, and where the next one will start.

    A line that is still being written is left for the next call; a line that is no JSON (a
    damaged disk) is left out.
    """
    if not path.exists():
        return [], offset
    with open(path, "rb") as stream:
        stream.seek(offset)
        data = stream.read()
    data = data[: data.rfind(b"\n") + 1]
    records = []
    for line in data.splitlines():
        with contextlib.suppress(ValueError):
            records.append(json.loads(line))
    return records, offset + len(data)
