"""From a folder with safetensors, as transformers saves it, to one GGUF file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export.gguf import numbers, vocabulary
from custom_ai.export.gguf.stream import Tensor, open_writer, write_tensors
from custom_ai.export.weights import Stored, stored
from custom_ai.models.architectures import Architecture, for_config
from custom_ai.step import Step

if TYPE_CHECKING:
    import torch
    from gguf import GGMLQuantizationType, GGUFWriter, TensorNameMap

FileType = Literal["f32", "f16", "bf16", "q8_0"]

_EMBEDDING = "model.embed_tokens.weight"
_HEAD = "lm_head.weight"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def write(
    folder: Path, target: Path, file_type: FileType, name: str, base: str, step: Step
) -> None:
    """Write the model in `folder` to `target`, which appears when it is whole.

    name and base: what the file says of itself and of the model it was made from.
    Raises UserError for a model or a tokenizer that can't be written faithfully.
    """
    config = files.read_json(folder / "config.json")
    architecture = for_config(config)
    sources = {n: t for n, t in stored(folder).items() if not n.endswith("rotary_emb.inv_freq")}
    tied = config.get("tie_word_embeddings", architecture.tied)
    if tied:
        sources.pop(_HEAD, None)
    for needed in (_EMBEDDING,) if tied else (_EMBEDDING, _HEAD):
        if needed not in sources:
            raise UserError("export.missing_tensor", tensor=needed)
    rows = sources[_EMBEDDING].shape[0]
    words = vocabulary.read(folder, rows)
    tensors = numbers.rope_tensors(config)
    tensors += _tensors(sources, architecture, numbers.Numbers.of(config), file_type)
    if architecture.gguf == "phi3" and vocabulary.strips_after(folder):
        # By this name llama.cpp knows that special tokens swallow the white space after them.
        name += " (Phi-3)"
    with open_writer(target, architecture.gguf) as writer:
        _describe(writer, name, base, file_type)
        numbers.add(writer, config, architecture, rows)
        words.add_to(writer)
        write_tensors(writer, tensors, step)


def _tensors(
    sources: dict[str, Stored],
    architecture: Architecture,
    shape: numbers.Numbers,
    file_type: FileType,
) -> list[Tensor]:
    import gguf

    names = tensor_names(architecture, shape.layers)
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
        if architecture.norms_from_one and name.endswith("norm.weight"):
            load = _from_zero(source)
        tensors.append(Tensor(target, source.shape, _kind(source.shape, wanted), load))
    return tensors


def tensor_names(architecture: Architecture, layers: int) -> TensorNameMap:
    """What GGUF calls the weights of an architecture."""
    import gguf

    arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture.gguf)
    return gguf.get_tensor_name_map(arch, layers)


def add_base(writer: GGUFWriter, base: str) -> None:
    """Say what model it was made from, a hub id in the words of llama.cpp's own converter."""
    import gguf

    writer.add_base_model_count(1)
    if not _HUB_ID.fullmatch(base):
        writer.add_base_model_name(0, base)
        return
    name, owner, _, _, version, _ = gguf.Metadata.get_model_id_components(base)
    writer.add_base_model_name(0, gguf.Metadata.id_to_title(name))
    writer.add_base_model_organization(0, gguf.Metadata.id_to_title(owner))
    if version:
        writer.add_base_model_version(0, version)
    writer.add_base_model_repo_url(0, f"https://huggingface.co/{base}")


def interleave(weights: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of each head changed from (half, pair) to (pair, half)."""
    pairs = weights.shape[0] // heads // 2
    halves = weights.reshape(heads, 2, pairs, *weights.shape[1:])
    return halves.transpose(1, 2).reshape(weights.shape)


def _kind(shape: tuple[int, ...], wanted: GGMLQuantizationType) -> GGMLQuantizationType:
    from gguf import GGMLQuantizationType as Kind

    if len(shape) == 1:
        return Kind.F32
    if wanted == Kind.Q8_0 and shape[-1] % 32:
        return Kind.F16
    return wanted


def _interleaved(source: Stored, heads: int) -> Callable[[], torch.Tensor]:
    return lambda: interleave(source.load(), heads)


def _from_zero(source: Stored) -> Callable[[], torch.Tensor]:
    return lambda: source.load().float() + 1


def _describe(writer: GGUFWriter, name: str, base: str, file_type: FileType) -> None:
    import gguf

    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    add_base(writer, base)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    kind = "ALL_F32" if file_type == "f32" else f"MOSTLY_{file_type.upper()}"
    writer.add_file_type(gguf.LlamaFileType[kind])
