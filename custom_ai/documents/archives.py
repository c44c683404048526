"""Documents that are zip archives (DOCX, EPUB): whether unpacking one could hurt."""

import copy
import errno
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from custom_ai.errors import UserError

# What an archive may unpack to; far beyond any real document, far below what hurts.
MAX_ENTRIES = 5_000
MAX_TOTAL = 300_000_000
MAX_RATIO = 100
# Below this size an entry can do no harm, however well it is packed.
_HARMLESS = 10_000_000
_PIECE = 1 << 18
# The only two methods the formats of documents allow; what the others unpack at once has no bound.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCKED = 1


def check(path: Path) -> None:
    """Raise UserError for an archive that unpacks to an unreasonable size, or has a password.

    What the archive says of itself is looked at first; since that can be a lie, everything is then
    unpacked once, piece by piece, and counted. A damaged entry is left to whoever needs it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_claims(entries, path.name)
            _check_bytes(archive, entries, path.name)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UserError("documents.corrupt", name=path.name, reason=error) from error
    except OSError as error:
        # An entry that claims to lie before the file's first byte; any other is the disk's.
        if error.errno != errno.EINVAL:
            raise
        raise UserError("documents.corrupt", name=path.name, reason=error) from error


def _check_claims(entries: list[zipfile.ZipInfo], name: str) -> None:
    total = sum(entry.file_size for entry in entries)
    bomb = any(_is_bomb(entry.file_size, entry) for entry in entries)
    if len(entries) > MAX_ENTRIES or total > MAX_TOTAL or bomb:
        raise _too_big(name, total)
    if any(entry.flag_bits & _LOCKED for entry in entries):
        raise UserError("documents.password", name=name)
    for entry in entries:
        if entry.compress_type not in _METHODS:
            reason = f"compression method {entry.compress_type}"
            raise UserError("documents.corrupt", name=name, reason=reason)


def _check_bytes(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], name: str) -> None:
    total = 0
    for entry in entries:
        size = 0
        for count in _sizes(archive, entry):
            size += count
            total += count
            if total > MAX_TOTAL or _is_bomb(size, entry):
                raise _too_big(name, total)


def _sizes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[int]:
    """The size of each piece an entry really unpacks to."""
    # zipfile stops at the size that the archive claims; here it must not believe it.
    honest = copy.copy(entry)
    honest.file_size = MAX_TOTAL + 1
    del honest.CRC
    try:
        with archive.open(honest) as stream:
            while piece := stream.read(_PIECE):
                yield len(piece)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return


def _is_bomb(size: int, entry: zipfile.ZipInfo) -> bool:
    return size > _HARMLESS and size > MAX_RATIO * max(1, entry.compress_size)


def _too_big(name: str, total: int) -> UserError:
    return UserError("documents.unpacks_too_big", name=name, size=total // 1_000_000)
