"""Which files a list of files and folders stands for."""

import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from custom_ai.documents.reader import by_suffix
from custom_ai.errors import UserError, from_os_error

# What Windows, macOS and Office leave beside documents ("~$letter.docx").
_LEFTOVERS = (".", "~$")


class FoundFile(NamedTuple):
    """A file to read: where it is, and its name as people know it (relative to a given folder)."""

    path: Path
    filename: str


def expand(paths: Sequence[Path]) -> tuple[list[FoundFile], list[tuple[Path, UserError]]]:
    """The files behind `paths`, sorted, each once; and for each path that leads nowhere, why.

    Folders are searched to their depths, without hidden files and files of other kinds. A file
    that is named itself is returned whatever it is, so that its reader can say what is wrong.
    """
    found: dict[Path, FoundFile] = {}
    failed = []
    for given in paths:
        path = Path(os.path.realpath(given.expanduser()))
        try:
            inside = list(_files(path))
        except UserError as error:
            failed.append((given, error))
            continue
        except OSError as error:
            if not (explained := from_os_error(error)):
                raise
            failed.append((given, explained))
            continue
        for file in inside:
            found.setdefault(file.path, file)
    return sorted(found.values(), key=lambda file: os.fsencode(file.path)), failed


def _files(path: Path) -> Iterator[FoundFile]:
    if not path.exists():
        raise UserError("documents.missing", path=printable(path))
    if stat.S_ISREG(path.stat().st_mode):
        yield FoundFile(path, printable(Path(path.name)))
        return
    if not path.is_dir():
        raise UserError("documents.no_file", path=printable(path))
    empty = True
    readable = False
    for file in _walk(path):
        empty = False
        if file.suffix.lower() in by_suffix():
            readable = True
            yield FoundFile(file, printable(file.relative_to(path)))
    known = ", ".join(sorted(by_suffix()))
    if empty:
        raise UserError("documents.empty_folder", path=printable(path), known=known)
    if not readable:
        raise UserError("documents.nothing_readable", path=printable(path), known=known)


def _walk(folder: Path) -> Iterator[Path]:
    """Every ordinary file below a folder; an unreadable folder raises OSError."""

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(_LEFTOVERS)]
        for name in names:
            file = Path(parent, name)
            if not name.startswith(_LEFTOVERS) and file.is_file():
                yield file


def printable(path: Path) -> str:
    """A path as text with forward slashes that any database and any screen can take."""
    text = os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", text)
