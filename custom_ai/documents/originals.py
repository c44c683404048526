"""The files people put into the project itself, and how the database names them.

A file under `Project.originals` is stored by its place in the project, so that the project can be
renamed, moved, copied and archived; every other file by its full path.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from custom_ai import files
from custom_ai.documents.folders import printable
from custom_ai.documents.reader import MAX_BYTES
from custom_ai.errors import UserError
from custom_ai.projects.names import RESERVED, inner_path
from custom_ai.projects.project import Project

# Allowed elsewhere, but not on Windows: the full-width twins look the same and mean nothing.
_TWINS = str.maketrans('<>:"|?*', "＜＞：＂｜？＊")
_PIECE = 1 << 20
# Shorter than what an archive of the project may hold.
_MOST_LETTERS = 400
_DEEPEST = 16
# From the project's folder to the originals.
_FOLDER = Project(Path()).originals


def keep(project: Project, name: str, content: BinaryIO | Iterable[bytes]) -> Path:
    """Store a file in the project under its own name; returns where it lies.

    name: as the browser gives it, with forward slashes where a folder was dropped. Characters that
    Windows refuses become their look-alikes. content: an open file, or pieces of bytes. The file
    appears complete or not at all, in the place of an older one of the same name. Raises UserError
    for a name that would lead elsewhere or can't be a name, and for a file that is too big to read.
    """
    parts = _parts(name)
    path = project.originals.joinpath(*parts)
    if not _real(path.parent).is_relative_to(_real(project.originals)) or path.is_symlink():
        raise UserError("documents.bad_file_name", name=name)
    try:
        with files.complete_file(path) as stream:
            for piece in _pieces(content):
                stream.write(piece)
                if stream.tell() > MAX_BYTES:
                    size = limit = MAX_BYTES // 1_000_000
                    raise UserError(
                        "documents.too_big", name=parts[-1], size=f"> {size}", limit=limit
                    )
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError("documents.name_taken", name=name) from error
    return path


def discard(project: Project, path: Path) -> bool:
    """Delete a file that lies in the project itself, with folders left empty; says whether it did.

    A file anywhere else is left alone.
    """
    place = _place(project, path)
    if place is None or place == Path():
        return False
    file = project.originals / place
    file.unlink(missing_ok=True)
    for folder in list(file.parents)[: len(place.parts) - 1]:
        if not folder.is_dir() or any(folder.iterdir()):
            break
        folder.rmdir()
    return True


def portable(project: Project, path: Path) -> str:
    """A path to write down: by its place in the project where it lies there, else in full."""
    place = _place(project, path)
    return str(path) if place is None else (_FOLDER / place).as_posix()


def stored(project: Project, path: Path) -> str:
    """How the database names a file."""
    return printable(Path(portable(project, path)))


def located(project: Project, name: str) -> Path:
    """Where the file lies that was written down so: the other way round."""
    # A full path stays as it is when it is joined to another.
    return project.folder / name


def name_of(project: Project, path: Path) -> str | None:
    """The name of a file of the project itself as people know it, with its folders; else None."""
    place = _place(project, path)
    return None if place is None else printable(place)


def _parts(name: str) -> tuple[str, ...]:
    """The parts of the path below the folder of originals."""
    plain = unicodedata.normalize("NFC", name)
    if "\\" in plain or plain[1:2] == ":":
        raise UserError("documents.bad_file_name", name=name)
    wished = []
    for part in plain.split("/"):
        # Windows would cut these off, and two names would become one.
        part = part.strip(" ").rstrip(". ").translate(_TWINS) if part.strip(" .") else part
        if part.split(".")[0].rstrip(" ").casefold() in RESERVED:
            part = f"_{part}"
        wished.append(part)
    parts = inner_path("/".join(wished))
    too_long = len(plain) > _MOST_LETTERS or len(wished) > _DEEPEST
    # Hidden files are not read from a folder; half-written ones are called like that.
    if parts is None or too_long or any(part.startswith(".") for part in parts):
        raise UserError("documents.bad_file_name", name=name)
    return parts


def _pieces(content: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    if hasattr(content, "read"):
        while piece := content.read(_PIECE):
            yield piece
    else:
        yield from content


def _place(project: Project, path: Path) -> Path | None:
    """A path's place below the folder of originals; None for one that lies elsewhere."""
    # Only its folder is followed: a link that lies there is not what it leads to.
    real, root = _real(path.parent) / path.name, _real(project.originals)
    return real.relative_to(root) if real.is_relative_to(root) else None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
