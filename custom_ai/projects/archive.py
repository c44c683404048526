"""A project as one zip file, and a project from one, whoever may have made the file."""

import errno
import json
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from datetime import date
from pathlib import Path

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.projects import database
from custom_ai.projects.copies import Finish, contents, copy_database
from custom_ai.projects.lock import writing
from custom_ai.projects.names import inner_path
from custom_ai.projects.project import Project, ProjectConfig, find
from custom_ai.projects.staging import appearing, scratch
from custom_ai.settings import home

# What an archive may unpack to: this many files, and this many times its own size. Weights hardly
# shrink, text and databases to a tenth; what shrinks more is harmless below a gigabyte.
MOST_FILES = 100_000
MOST_TIMES = 100
ALWAYS_ALLOWED = 1 << 30

_VERSION = 1
# The rest is weights and documents, which are packed already: trying costs time and gains nothing.
_SHRINKS = {".json", ".jsonl", ".db", ".md", ".txt", ".log"}
_CONFIG = re.compile(r"(?:[^/]+/)?config\.json")
_PIECE = 1 << 20
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, UnicodeDecodeError
)  # fmt: skip


def pack(project: Project, target: Path | None = None) -> Path:
    """Write everything of a project into one zip file and return it; complete or not at all.

    `target` is a file or a folder; without it, <home>/archives. An older file is replaced. Raises
    UserError when somebody is at work in the project or the target lies inside it.
    """
    path = _target(project, target)
    with writing(project, "archive"), scratch() as folder:
        snapshot = folder / project.database.name
        copy_database(project, snapshot)
        found = [(place, file) for file, place in contents(project)]
        if snapshot.exists():
            found.append((project.database.relative_to(project.folder).as_posix(), snapshot))
        with (
            files.complete_file(path) as stream,
            # A file may be older than what zip can say of its age.
            zipfile.ZipFile(stream, "w", strict_timestamps=False) as archive,
        ):
            for place, file in sorted(found):
                shrinks = file.suffix.lower() in _SHRINKS
                how = zipfile.ZIP_DEFLATED if shrinks else zipfile.ZIP_STORED
                name = f"{project.slug}/{place}"
                if inner_path(name) is None:
                    # Nobody could open the archive.
                    raise UserError("projects.cannot_archive", path=ascii(place))
                archive.write(file, name, how)
    return path


def unpack(file: Path, name: str | None, finish: Finish) -> Project:
    """Make a project from a zip file, under `name` or the name it had; complete or not at all.

    `finish` does the last things to it before it appears (see `runs/idle.py`). Nothing of the file
    is trusted: UserError for one that is no archive of a project, is damaged, was made by a newer
    version, names places outside itself, or unpacks to far more than it is.
    """
    if not file.is_file():
        raise UserError("projects.archive_missing", path=file)
    with open(file, "rb") as stream:
        if stream.read(2) != b"PK":
            raise UserError("projects.no_archive", path=file)
    try:
        with zipfile.ZipFile(file) as archive:
            top = _top(file, archive)
            inside = _inside(file, archive, top)
            config = _config(file, archive, top)
            chosen = name or config.name
            with appearing(chosen) as project:
                _write(archive, inside, project)
                _check_database(file, project)
                project.change(name=chosen.strip())
                finish(project)
    except _DAMAGED as error:
        raise UserError("projects.archive_damaged", path=file, reason=error) from error
    except OSError as error:
        # A damaged directory sends the reader to a place before the file's beginning.
        if error.errno != errno.EINVAL:
            raise
        raise UserError("projects.archive_damaged", path=file, reason=error) from error
    return find(chosen)


def _target(project: Project, target: Path | None) -> Path:
    usual = f"{project.slug}-{date.today().isoformat()}.zip"
    if target is None:
        return home() / "archives" / usual
    path = target.expanduser().absolute()
    path = path / usual if path.is_dir() else path
    if path.resolve().is_relative_to(project.folder.resolve()):
        raise UserError("projects.archive_inside", path=path)
    return path


def _top(file: Path, archive: zipfile.ZipFile) -> str:
    """The folder in the archive that is the project's: "thesis/", or "" for the archive itself."""
    found = [info.filename for info in archive.infolist() if _CONFIG.fullmatch(info.filename)]
    if "config.json" in found:
        return ""
    if len(found) != 1:
        raise UserError("projects.no_archive", path=file)
    return found[0].removesuffix("config.json")


def _config(file: Path, archive: zipfile.ZipFile, top: str) -> ProjectConfig:
    entry = archive.getinfo(f"{top}config.json")
    if entry.file_size > _PIECE:
        raise UserError("projects.no_archive", path=file)
    try:
        values = json.loads(archive.read(entry))
        if isinstance(values, dict) and isinstance(values.get("version"), int):
            if values["version"] > _VERSION:
                raise UserError("projects.archive_newer", path=file)
            return ProjectConfig.model_validate(values)
    except (ValueError, RecursionError) as error:
        # The configuration of something else, a model for instance.
        raise UserError("projects.no_archive", path=file) from error
    raise UserError("projects.no_archive", path=file)


def _inside(
    file: Path, archive: zipfile.ZipFile, top: str
) -> list[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    """The files of the project and their places in it, all of them looked at before any is read."""
    entries = archive.infolist()
    size = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_FILES or size > max(ALWAYS_ALLOWED, MOST_TIMES * file.stat().st_size):
        raise UserError(
            "projects.archive_too_big", path=file, size=size // 1_000_000, files=len(entries)
        )
    if size > shutil.disk_usage(home()).free:
        raise UserError("errors.disk_full", path=home())
    found = []
    taken: set[str] = set()
    for entry in entries:
        # As it stands in the file: `filename` ends at a zero byte.
        name = entry.orig_filename
        parts = inner_path(name.removesuffix("/"))
        same = unicodedata.normalize("NFC", name)
        if parts is None or not _is_plain_file(entry) or same in taken:
            raise UserError("projects.archive_unsafe", path=file, name=ascii(name))
        taken.add(same)
        if name.startswith(top) and not entry.is_dir():
            found.append((entry, parts[1:] if top else parts))
    return found


def _is_plain_file(entry: zipfile.ZipInfo) -> bool:
    """Whether it is a file or a folder, with nothing of links, devices or passwords."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind in (0, stat.S_IFREG, stat.S_IFDIR) and not entry.flag_bits & 1


def _write(
    archive: zipfile.ZipFile,
    inside: list[tuple[zipfile.ZipInfo, tuple[str, ...]]],
    project: Project,
) -> None:
    for entry, parts in inside:
        target = project.folder.joinpath(*parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, open(target, "xb") as out:
                shutil.copyfileobj(source, out, _PIECE)
        except (FileExistsError, NotADirectoryError) as error:
            # A file where another entry wants a folder, or that has its name in another case.
            raise zipfile.BadZipFile(entry.filename) from error


def _check_database(file: Path, project: Project) -> None:
    if not project.database.exists():
        return
    try:
        with database.connect(project.database):
            pass
    except UserError as error:
        if error.code == "projects.database_newer":
            raise UserError("projects.archive_newer", path=file) from error
        if error.code == "projects.database_damaged":
            raise zipfile.BadZipFile(project.database.name) from error
        raise
