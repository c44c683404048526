"""From a folder with safetensors, as transformers saves it, to one GGUF file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export.gguf import vocabulary
from custom_ai.export.gguf.stream import Tensor, open_writer, write_tensors
from custom_ai.models.architectures import Architecture, for_config, rope_of
from custom_ai.step import Step

if TYPE_CHECKING:
    import torch
    from gguf import GGMLQuantizationType, GGUFWriter

FileType = Literal["f32", "f16", "q8_0"]

_EMBEDDING = "model.embed_tokens.weight"
_HEAD = "lm_head.weight"


@dataclass(frozen=True)
class _Shape:
    """The numbers of a config.json that every architecture here has."""

    layers: int
    width: int
    heads: int
    key_heads: int
    head_width: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> _Shape:
        heads = config["num_attention_heads"]
        return cls(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            heads=heads,
            key_heads=config.get("num_key_value_heads") or heads,
            head_width=config.get("head_dim") or config["hidden_size"] // heads,
        )


def write(
    folder: Path, target: Path, file_type: FileType, name: str, base: str, step: Step
) -> None:
    """Write the model in `folder` to `target`, which appears when it is whole.

    name and base: what the file says of itself and of the model it was made from.
    Raises UserError for a model or a tokenizer that can't be written faithfully.
    """
    config = files.read_json(folder / "config.json")
    architecture = for_config(config)
    shape = _Shape.of(config)
    sources = dict(_weights(folder))
    if config.get("tie_word_embeddings"):
        sources.pop(_HEAD, None)
    for needed in (_EMBEDDING,) if config.get("tie_word_embeddings") else (_EMBEDDING, _HEAD):
        if needed not in sources:
            raise UserError("export.missing_tensor", tensor=needed)
    rows = sources[_EMBEDDING].rows
    words = vocabulary.read(folder, rows)
    tensors = _tensors(sources, architecture, shape, file_type)
    if (factors := _rope_factors(config, shape)) is not None:
        tensors.insert(0, factors)
    with open_writer(target, architecture.gguf) as writer:
        _describe(writer, name, base, file_type)
        _add_numbers(writer, config, shape, rows)
        words.add_to(writer)
        write_tensors(writer, tensors, step)


@dataclass(frozen=True)
class _Source:
    """Where one tensor of the model lies."""

    file: Path
    name: str
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        return self.shape[0]

    def load(self) -> torch.Tensor:
        from safetensors import safe_open

        with safe_open(self.file, "pt") as stream:
            weights: torch.Tensor = stream.get_tensor(self.name)
        return weights


def _weights(folder: Path) -> Iterator[tuple[str, _Source]]:
    from safetensors import safe_open

    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.exists():
        names = sorted(set(files.read_json(index)["weight_map"].values()))
    for file in (folder / name for name in names):
        with safe_open(file, "pt") as stream:
            for name in stream.keys():  # noqa: SIM118 - not a dict
                if not name.endswith("rotary_emb.inv_freq"):
                    yield name, _Source(file, name, tuple(stream.get_slice(name).get_shape()))


def _tensors(
    sources: dict[str, _Source], architecture: Architecture, shape: _Shape, file_type: FileType
) -> list[Tensor]:
    import gguf

    arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture.gguf)
    names = gguf.get_tensor_name_map(arch, shape.layers)
    wanted = gguf.GGMLQuantizationType[file_type.upper()]
    tensors = []
    for name, source in sources.items():
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise UserError("export.unknown_tensor", tensor=name)
        load: Callable[[], torch.Tensor] = source.load
        if architecture.interleaved_rope and ".q_proj." in name:
            load = _interleaved(source, shape.heads)
        if architecture.interleaved_rope and ".k_proj." in name:
            load = _interleaved(source, shape.key_heads)
        tensors.append(Tensor(target, source.shape, _kind(source.shape, wanted), load))
    return tensors


def _kind(shape: tuple[int, ...], wanted: GGMLQuantizationType) -> GGMLQuantizationType:
    from gguf import GGMLQuantizationType as Kind

    if len(shape) == 1:
        return Kind.F32
    if wanted == Kind.Q8_0 and shape[-1] % 32:
        return Kind.F16
    return wanted


def _interleaved(source: _Source, heads: int) -> Callable[[], torch.Tensor]:
    """Load with the rows of each head changed from (half, pair) to (pair, half)."""

    def load() -> torch.Tensor:
        weights = source.load()
        pairs = weights.shape[0] // heads // 2
        halves = weights.reshape(heads, 2, pairs, *weights.shape[1:])
        return halves.transpose(1, 2).reshape(weights.shape)

    return load


def _describe(writer: GGUFWriter, name: str, base: str, file_type: FileType) -> None:
    import gguf

    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    kinds = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}
    writer.add_file_type(gguf.LlamaFileType[kinds[file_type]])


def _add_numbers(writer: GGUFWriter, config: dict[str, Any], shape: _Shape, rows: int) -> None:
    import gguf

    writer.add_context_length(_context(config))
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(rows)
    rope = rope_of(config)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def _context(config: dict[str, Any]) -> int:
    # llama.cpp gives these architectures no sliding window: up to its length both agree.
    longest = int(config["max_position_embeddings"])
    window = config.get("sliding_window")
    if window and config.get("use_sliding_window", True):
        return min(longest, int(window))
    return longest


def _rope_factors(config: dict[str, Any], shape: _Shape) -> Tensor | None:
    """By what Llama 3 divides each frequency: 1 for short waves, `factor` for long ones."""
    import torch
    from gguf import GGMLQuantizationType

    rope = rope_of(config)
    if rope["rope_type"] != "llama3":
        return None
    pairs = shape.head_width // 2
    exponents = torch.arange(0, shape.head_width, 2, dtype=torch.float64) / shape.head_width
    waves = 2 * math.pi * rope["rope_theta"] ** exponents
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] / waves
    # 0 for waves that are to be stretched in full, 1 for those that stay, a ramp between.
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    factors = 1 / (kept + (1 - kept) / rope["factor"])
    return Tensor("rope_freqs.weight", (pairs,), GGMLQuantizationType.F32, lambda: factors.float())
