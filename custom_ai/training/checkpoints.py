"""Checkpoints that are complete, verified and few: the places a training can continue from.

Each is a folder `checkpoint-<step>` with a manifest of its files, written last.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from custom_ai.errors import UserError
from custom_ai.files import complete_folder, finish_replacement, read_json, write_json

MANIFEST = "manifest.json"

# Two, so that a damaged newest one costs little; the best one is kept beside them.
_KEPT = 2

_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A place to continue from: the state after `step` optimizer steps."""

    step: int
    folder: Path


@contextmanager
def writing(root: Path, step: int) -> Iterator[Path]:
    """Fill the folder that is yielded; it becomes the checkpoint of `step` when it is whole."""
    with complete_folder(root / f"checkpoint-{step}") as folder:
        yield folder
        files = {
            path.relative_to(folder).as_posix(): {
                "size": path.stat().st_size,
                "sha256": _digest(path),
            }
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        write_json(folder / MANIFEST, {"step": step, "files": files})


def find(root: Path) -> list[Checkpoint]:
    """All checkpoints, newest first, not verified; tidies up after a kill while one was written."""
    if not root.is_dir():
        return []
    for leftover in [*root.glob("*.old"), *root.glob("*.partial")]:
        finish_replacement(leftover.with_suffix(""))
    found = [
        Checkpoint(int(match[1]), path)
        for path in root.iterdir()
        if (match := _NAME.fullmatch(path.name))
    ]
    return sorted(found, key=lambda checkpoint: checkpoint.step, reverse=True)


def newest(root: Path) -> tuple[Checkpoint | None, list[Checkpoint]]:
    """The newest checkpoint that is as it was written, and the damaged ones that are newer."""
    damaged: list[Checkpoint] = []
    for checkpoint in find(root):
        if is_intact(checkpoint):
            return checkpoint, damaged
        damaged.append(checkpoint)
    return None, damaged


def is_intact(checkpoint: Checkpoint) -> bool:
    """Whether every file of the manifest is there with its size and digest."""
    try:
        manifest = read_json(checkpoint.folder / MANIFEST)
        files = manifest["files"].items()
        return manifest["step"] == checkpoint.step and all(
            (checkpoint.folder / name).stat().st_size == about["size"]
            and _digest(checkpoint.folder / name) == about["sha256"]
            for name, about in files
        )
    except (UserError, FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    except (KeyError, TypeError, AttributeError):
        return False  # JSON, but no manifest of ours


def prune(root: Path, best: int | None) -> None:
    """Remove all but the newest two and the one of step `best`."""
    for checkpoint in find(root)[_KEPT:]:
        if checkpoint.step != best:
            remove(checkpoint)


def remove(checkpoint: Checkpoint) -> None:
    """Delete a checkpoint that nobody will continue from."""
    shutil.rmtree(checkpoint.folder)


def _digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
