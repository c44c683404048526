"""The numbers of a config.json under the names GGUF has for them, and the stretched positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from custom_ai.export.gguf.stream import Tensor
from custom_ai.models.architectures import Architecture, rope_of

if TYPE_CHECKING:
    from gguf import GGUFWriter


@dataclass(frozen=True)
class Numbers:
    """The numbers of a config.json that every architecture here has."""

    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> Numbers:
        """Read them; heads of no stated width share the model's."""
        heads = config["num_attention_heads"]
        return cls(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            heads=heads,
            key_heads=config.get("num_key_value_heads") or heads,
            head_width=config.get("head_dim") or config["hidden_size"] // heads,
        )


def add(writer: GGUFWriter, config: dict[str, Any], architecture: Architecture, rows: int) -> None:
    """Tell the writer all of them. rows: of the embedding."""
    from gguf import GGUFValueType as Kind

    numbers = Numbers.of(config)
    writer.add_context_length(_context(config, architecture))
    writer.add_embedding_length(numbers.width)
    writer.add_block_count(numbers.layers)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(numbers.heads)
    writer.add_head_count_kv(numbers.key_heads)
    writer.add_key_length(numbers.head_width)
    writer.add_value_length(numbers.head_width)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(rows)
    if architecture.full_every:
        writer.add_sliding_window(config["sliding_window"])
    if softcap := config.get("attn_logit_softcapping"):
        writer.add_attn_logit_softcapping(softcap)
    if softcap := config.get("final_logit_softcapping"):
        writer.add_final_logit_softcapping(softcap)
    for name, value in positions(config, architecture).items():
        kind = {int: Kind.UINT32, float: Kind.FLOAT32, str: Kind.STRING}[type(value)]
        writer.add_key_value(name, value, kind)


def positions(config: dict[str, Any], architecture: Architecture) -> dict[str, int | float | str]:
    """How positions are rotated and stretched: the keys of the file and their values."""
    rope, numbers = rope_of(config), Numbers.of(config)
    found: dict[str, int | float | str] = {
        "rope.dimension_count": _rotated(config, rope, numbers),
        "rope.freq_base": float(rope["rope_theta"]),
    }
    if rope["rope_type"] == "linear":
        found["rope.scaling.type"] = "linear"
        found["rope.scaling.factor"] = float(rope["factor"])
    if rope["rope_type"] == "longrope":
        original, stretch = _stretch(config, rope)
        found["rope.scaling.original_context_length"] = original
        found["rope.scaling.attn_factor"] = float(rope.get("attention_factor") or stretch)
    return {f"{architecture.gguf}.{name}": value for name, value in found.items()}


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same, apart from what 32 bits can't hold."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6)
    return bool(one == other)


def rope_tensors(config: dict[str, Any]) -> list[Tensor]:
    """By what a model with stretched positions divides each frequency; empty for all others."""
    rope, numbers = rope_of(config), Numbers.of(config)
    if rope["rope_type"] == "longrope":
        return [
            _factors("rope_factors_long.weight", rope["long_factor"]),
            _factors("rope_factors_short.weight", rope["short_factor"]),
        ]
    if rope["rope_type"] == "llama3":
        return [_factors("rope_freqs.weight", _llama3(rope, numbers.head_width))]
    return []


def _context(config: dict[str, Any], architecture: Architecture) -> int:
    longest = int(config["max_position_embeddings"])
    window = config.get("sliding_window")
    # Where llama.cpp gives an architecture no window, both agree up to its length.
    if window and not architecture.full_every and config.get("use_sliding_window", True):
        return min(longest, int(window))
    return longest


def _rotated(config: dict[str, Any], rope: dict[str, Any], numbers: Numbers) -> int:
    part = rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0
    return int(numbers.head_width * part)


def _stretch(config: dict[str, Any], rope: dict[str, Any]) -> tuple[int, float]:
    """The context a model was first trained for, and what attention is scaled by for the longer.

    The formula is LongRoPE's, https://arxiv.org/abs/2402.13753.
    """
    longest = config["max_position_embeddings"]
    original = config.get("original_max_position_embeddings")
    original = int(original or rope.get("original_max_position_embeddings") or longest)
    factor = longest / original
    scale = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return original, scale


def _factors(name: str, values: Sequence[float]) -> Tensor:
    import torch
    from gguf import GGMLQuantizationType

    factors = torch.tensor(list(values), dtype=torch.float32)
    return Tensor(name, (len(factors),), GGMLQuantizationType.F32, lambda: factors)


def _llama3(rope: dict[str, Any], head_width: int) -> list[float]:
    """1 for short waves, `factor` for long ones, a ramp between."""
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    factors = []
    for i in range(0, head_width, 2):
        wave = 2 * math.pi * rope["rope_theta"] ** (i / head_width)
        turns = rope["original_max_position_embeddings"] / wave
        # 0 for waves that are to be stretched in full, 1 for those that stay.
        kept = min(1.0, max(0.0, (turns - low) / (high - low)))
        factors.append(1 / (kept + (1 - kept) / rope["factor"]))
    return factors
