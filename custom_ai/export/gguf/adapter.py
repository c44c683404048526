"""A LoRA adapter as one small GGUF file, beside the base model in the same format."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export.gguf.numbers import Numbers
from custom_ai.export.gguf.stream import Tensor, open_writer, write_tensors
from custom_ai.export.gguf.writer import add_base, interleave, tensor_names
from custom_ai.models.architectures import Architecture, for_config
from custom_ai.step import Step

if TYPE_CHECKING:
    import torch

_WEIGHT = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


def check(settings: dict[str, Any]) -> None:
    """Raise UserError for an adapter with more than the two matrices llama.cpp knows."""
    if whole := settings.get("modules_to_save"):
        raise UserError("export.adapter_replaces", modules=", ".join(whole))
    for name, plain in (("use_dora", False), ("bias", "none")):
        if settings.get(name) not in (plain, None):
            raise UserError("export.adapter_kind", setting=name, value=settings[name])
    for name in ("rank_pattern", "alpha_pattern"):
        if settings.get(name):
            raise UserError("export.adapter_kind", setting=name, value="–")


def write(adapter: Path, base: Path, target: Path, name: str, base_name: str, step: Step) -> None:
    """Write PEFT's adapter to `target`, which appears when it is whole.

    base: the folder of the base model. name and base_name: what the file says of itself and of
    that model. Raises UserError for an adapter that can't be written.
    """
    import gguf

    config = files.read_json(base / "config.json")
    architecture = for_config(config)
    settings = files.read_json(adapter / "adapter_config.json")
    check(settings)
    tensors = _tensors(adapter / "adapter_model.safetensors", config, architecture)
    with open_writer(target, architecture.gguf) as writer:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(settings))
        writer.add_name(name)
        add_base(writer, base_name)
        write_tensors(writer, tensors, step)


def _alpha(settings: dict[str, Any]) -> float:
    """llama.cpp scales by α/r; rank-stabilised LoRA by α/√r."""
    alpha = float(settings["lora_alpha"])
    return alpha * math.sqrt(settings["r"]) if settings.get("use_rslora") else alpha


def _tensors(file: Path, config: dict[str, Any], architecture: Architecture) -> list[Tensor]:
    from gguf import GGMLQuantizationType
    from safetensors import safe_open

    names = tensor_names(architecture, config["num_hidden_layers"])
    tensors = []
    with safe_open(file, "pt") as stream:
        for key in sorted(stream.keys()):
            found = _WEIGHT.fullmatch(key)
            place = names.get_name(found[1]) if found else None
            if not found or place is None:
                raise UserError("export.unknown_tensor", tensor=key)
            shape = tuple(stream.get_slice(key).get_shape())
            heads = _heads(found[1], config) if found[2] == "B" else 0
            load = _loader(file, key, heads if architecture.interleaved_rope else 0)
            name = f"{place}.weight.lora_{found[2].lower()}"
            tensors.append(Tensor(name, shape, GGMLQuantizationType.F32, load))
    return tensors


def _heads(module: str, config: dict[str, Any]) -> int:
    """How many heads' rows of a projection change places; 0 for none."""
    numbers = Numbers.of(config)
    return {"q_proj": numbers.heads, "k_proj": numbers.key_heads}.get(module.rpartition(".")[2], 0)


def _loader(file: Path, key: str, heads: int) -> Callable[[], torch.Tensor]:
    def load() -> torch.Tensor:
        from safetensors import safe_open

        with safe_open(file, "pt") as stream:
            weights: torch.Tensor = stream.get_tensor(key)
        return interleave(weights, heads) if heads else weights

    return load
