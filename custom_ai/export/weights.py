"""Weights in safetensors files, read and written one tensor at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from custom_ai import files
from custom_ai.errors import UserError

if TYPE_CHECKING:
    import torch

_NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class Stored:
    """Where one tensor lies."""

    file: Path
    name: str
    shape: tuple[int, ...]

    def load(self) -> torch.Tensor:
        """The tensor as it is stored; memory is taken only by what is looked at of it."""
        from safetensors import safe_open

        with safe_open(self.file, "pt") as stream:
            weights: torch.Tensor = stream.get_tensor(self.name)
        return weights


@dataclass(frozen=True)
class Planned:
    """A tensor of a file to be. load: gives it when its turn comes, in any precision."""

    name: str
    shape: tuple[int, ...]
    load: Callable[[], torch.Tensor]


def base_folder(base_path: str | Path) -> Path:
    """The folder behind what from_pretrained takes: itself, or a downloaded model's place.

    Raises UserError when there is none.
    """
    folder = Path(base_path)
    if not (folder / "config.json").exists():
        from transformers.utils import cached_file

        try:
            found = cached_file(str(base_path), "config.json", local_files_only=True)
        except OSError as error:
            raise UserError("export.no_base", path=base_path) from error
        folder = Path(str(found)).parent
    return folder


def stored(folder: Path) -> dict[str, Stored]:
    """Every tensor of a model by its name; raises UserError for files that can't be read."""
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.exists():
        names = sorted(set(files.read_json(index)["weight_map"].values()))
    found = {}
    for file in (folder / name for name in names):
        try:
            with safe_open(file, "pt") as stream:
                for name in stream.keys():  # noqa: SIM118 - not a dict
                    shape = tuple(stream.get_slice(name).get_shape())
                    found[name] = Stored(file, name, shape)
        except (SafetensorError, OSError) as error:
            raise UserError("models.cannot_load", path=file, reason=error) from error
    return found


def write(path: Path, tensors: Sequence[Planned], precision: str) -> None:
    """Write a safetensors file as the library would, but holding one tensor at a time.

    precision: "float32", "float16" or "bfloat16", of all of them. Format:
    https://huggingface.co/docs/safetensors/index#format
    """
    import torch

    kind = _NAMES[precision]
    head: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    ordered = sorted(tensors, key=lambda tensor: tensor.name)
    for tensor in ordered:
        start, end = end, end + _BYTES[kind] * torch.Size(tensor.shape).numel()
        head[tensor.name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [start, end]}
    said = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
    said += b" " * (-len(said) % 8)
    with open(path, "wb") as stream:
        stream.write(len(said).to_bytes(8, "little") + said)
        for tensor in ordered:
            rounded = tensor.load().to(getattr(torch, precision)).contiguous()
            stream.write(rounded.view(torch.uint8).numpy().data)
        stream.flush()
        os.fsync(stream.fileno())
