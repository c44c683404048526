"""The texts that belong to the product: its licence, and those of the libraries it runs on."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

import custom_ai
from custom_ai.errors import UserError

LegalText = Literal["licence", "libraries"]

_FILES = {"licence": "LICENSE.txt", "libraries": "THIRD_PARTY.md"}


def read(name: LegalText) -> str:
    """One of the texts. Raises UserError when the installation lacks it."""
    path = find(_FILES[name])
    if path is None:
        raise UserError("ui_settings.text_missing", file=_FILES[name])
    return path.read_text(encoding="utf-8")


def find(file: str) -> Path | None:
    """Where the file lies: beside the source, or where an installed package keeps its licences."""
    root = Path(custom_ai.__file__).parents[1]
    if (root / "pyproject.toml").exists():
        return root / file if (root / file).exists() else None
    try:
        installed = distribution("custom-ai")
    except PackageNotFoundError:
        return None
    for entry in installed.files or []:
        if entry.name == file and "licenses" in entry.parts:
            return Path(str(installed.locate_file(entry)))
    return None
