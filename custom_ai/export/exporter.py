"""What every export format looks like to the rest: discovery, the source, the frame of an export.

A format is one file in `exporters`. Its name is the format's name, and it holds one object
`exporter` (see `Exporter`).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export.weights import base_folder
from custom_ai.options import Options
from custom_ai.step import Step
from custom_ai.texts import t

# Left free on the disk beyond what an export writes: the run's own files, the file system's.
_RESERVE = 64 << 20


@dataclass(frozen=True)
class Source:
    """What is to be exported.

    base_path: the base model, as from_pretrained takes it. adapter: what training made, or None
    for the base model itself. name: of the new model; it becomes part of file names.
    base_name: what the model card calls the base model; of a folder only its name is told.
    questions: pairs of question and answer from the training, to question the export with.
    validation: pairs that were held out of it, to measure what a smaller format loses.
    licence: of the base model, where it is known.
    """

    base_path: str
    adapter: Path | None
    name: str
    base_name: str = ""
    questions: tuple[tuple[str, str], ...] = ()
    validation: tuple[tuple[str, str], ...] = ()
    licence: str = ""

    @property
    def base(self) -> str:
        name = self.base_name or self.base_path
        return Path(name).name if Path(name).is_absolute() else name


class ExportOptions(Options):
    """Options that no format adds to have none."""

    texts: ClassVar[str] = "export"


class Exporter(Protocol):
    """The object `exporter` of each file."""

    name: str
    options: type[ExportOptions]

    def unavailable(self) -> str | None:
        """Why it can't be used on this machine, in the user's words; None if it can."""
        ...

    def export(self, source: Source, target: Path, options: Any, step: Step) -> Path:
        """Make `target`, complete and accepted or not at all; returns the artefact in it.

        Continues after an interruption when called again with the same step folder. Raises
        UserError.
        """
        ...


def names() -> list[str]:
    """Every format, by the names of the files; imports none of them."""
    folder = Path(__file__).parent / "exporters"
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def find(name: str) -> Exporter:
    """The exporter of that name; raises UserError for an unknown one."""
    if name not in names():
        raise UserError("export.unknown_format", name=name, known=", ".join(names()))
    exporter: Exporter = importlib.import_module(f"custom_ai.export.exporters.{name}").exporter
    return exporter


def parameters(base_path: str) -> int:
    """How many weights the base model has, from the heads of its files."""
    total = 0
    for file in base_folder(base_path).glob("*.safetensors"):
        with open(file, "rb") as stream:
            head = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        head.pop("__metadata__", None)
        total += sum(math.prod(tensor["shape"]) for tensor in head.values())
    return total


def require_space(folder: Path, needed: float) -> None:
    """Raise UserError when the disk of `folder` hasn't room for `needed` bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed + _RESERVE:
        raise UserError(
            "export.no_space", needed=_size(needed + _RESERVE), free=_size(free), path=folder
        )


@contextlib.contextmanager
def work_folder(source: Source, step: Step, precision: str = "f16") -> Iterator[Path]:
    """A folder for intermediate files, kept for the next attempt only after an interruption.

    precision: of what will lie in it; files of another one are made anew.
    """
    folder = step.folder / "work"
    stamp = folder / "source.json"
    wanted = {"base": source.base_path, "adapter": str(source.adapter), "name": source.name}
    wanted["precision"] = precision
    if not stamp.exists() or files.read_json(stamp) != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        files.write_json(stamp, wanted)
    try:
        yield folder
    except (UserError, OSError):
        # Above all on a full disk nothing of ours may stay.
        _remove(folder, stamp)
        raise
    _remove(folder, stamp)


def _remove(folder: Path, stamp: Path) -> None:
    # The stamp first: a kill in the middle must not leave half of the files to be gone on with.
    stamp.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def write_card(folder: Path, source: Source, file: str) -> None:
    """Write README.md: what this is, what it was made from and how, in the user's language."""
    front = {"base_model": source.base, "tags": ["custom-ai"]}
    head = "".join(f"{k}: {json.dumps(v, ensure_ascii=False)}\n" for k, v in front.items())
    body = t("export.card", name=source.name, base=source.base, file=file)
    files.write_text(folder / "README.md", f"---\n{head}---\n{body}\n")


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
