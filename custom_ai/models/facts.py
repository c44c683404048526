"""What is known of a base model without asking anybody: from its files, and from what we keep."""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from custom_ai.errors import UserError
from custom_ai.files import read_json
from custom_ai.models import catalogue
from custom_ai.models.catalogue import TrainableModel
from custom_ai.models.shape import Shape

# The kind of tokenizer that reads bytes only where it knows no letters.
SENTENCE_PIECE = "SentencePiece"

# Licences that say their name elsewhere.
_OTHER = "other"


@dataclass(frozen=True)
class Facts:
    """What is known; None or empty where it isn't.

    here: whether all its files lie on this machine. folder: where; also set when only the small
    files are here. size: bytes of its files, or of the download. tokenizer: its kind; words:
    how many tokens it knows.
    """

    model: TrainableModel
    here: bool
    folder: Path | None
    parameters: int | None
    size: int | None
    licence: str | None
    gated: bool
    languages: tuple[str, ...]
    tokenizer: str | None
    words: int | None
    shape: Shape | None


def look_up(model: TrainableModel) -> Facts:
    """Gather what is known of a model; reads files, asks no network."""
    entry, said = catalogue.entry(model.name), _remembered(model)
    folder = model.folder()
    here = folder is not None and _is_complete(folder)
    shape = Shape.of(_config(folder) or entry.get("config", {}))
    parameters = _count(folder) if folder and here else said.get("parameters")
    parameters = parameters or (shape.parameters if shape else None)
    card = _card(folder) or said.get("card", {})
    kind, words = _tokenizer(folder)
    size = _size(folder) if folder and here else said.get("size")
    if size is None and shape and not here:
        # The hub keeps the models we suggest in 16 bits.
        size = 2 * shape.parameters
    return Facts(
        model=model,
        here=here,
        folder=folder,
        parameters=parameters,
        size=size,
        licence=entry.get("licence") or _licence(card),
        gated=bool(said.get("gated", entry.get("gated", False))),
        languages=_languages(card) or tuple(entry.get("languages", ())),
        tokenizer=kind or entry.get("tokenizer"),
        words=words or (shape.vocabulary if shape else None),
        shape=shape,
    )


def _remembered(model: TrainableModel) -> dict[str, Any]:
    path = catalogue.remembered_file(model.name)
    found = read_json(path) if model.kind == "hub" and path.exists() else {}
    return found if isinstance(found, dict) else {}


def _is_complete(folder: Path) -> bool:
    try:
        catalogue.check_folder(folder)
    except UserError:
        return False
    return True


def _config(folder: Path | None) -> dict[str, Any]:
    path = folder / "config.json" if folder else None
    found = read_json(path) if path and path.exists() else {}
    return found if isinstance(found, dict) else {}


def _count(folder: Path) -> int:
    """How many weights there are, from the heads of the files."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with open(file, "rb") as stream:
            head = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        head.pop("__metadata__", None)
        total += sum(math.prod(tensor["shape"]) for tensor in head.values())
    return total


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _card(folder: Path | None) -> dict[str, Any]:
    """The front matter of the README."""
    if folder is None or not (folder / "README.md").exists():
        return {}
    import huggingface_hub

    try:
        found = huggingface_hub.metadata_load(folder / "README.md") or {}
    # Strangers wrote it, and nothing depends on it: an unreadable one says nothing.
    except Exception:
        return {}
    return {key: found[key] for key in catalogue.CARD if key in found}


def _licence(card: dict[str, Any]) -> str | None:
    said = card.get("license")
    if said in (None, _OTHER):
        said = card.get("license_name") or said
    return said if isinstance(said, str) else None


def _languages(card: dict[str, Any]) -> tuple[str, ...]:
    said = card.get("language") or []
    return tuple(str(word) for word in ([said] if isinstance(said, str) else said))


def _tokenizer(folder: Path | None) -> tuple[str | None, int | None]:
    path = folder / "tokenizer.json" if folder else None
    if path is None or not path.exists():
        return None, None
    return _read_tokenizer(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _read_tokenizer(path: Path, version: int) -> tuple[str | None, int | None]:
    """Kind and number of tokens. version: when the file was changed, so that it is read anew."""
    found = read_json(path)
    model = found.get("model") if isinstance(found, dict) else None
    if not isinstance(model, dict):
        return None, None
    kind = SENTENCE_PIECE if model.get("byte_fallback") else model.get("type")
    return kind, len(model.get("vocab", ()))
