"""From an F16 GGUF file to a smaller one, with the types llama.cpp gives each tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from custom_ai.export.gguf.stream import Tensor, open_writer, write_tensors
from custom_ai.step import Step

if TYPE_CHECKING:
    import torch
    from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

Quantization = Literal[
    "f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q5_1", "q5_0", "q4_k_m", "q4_0"
]

# Said anew for the new file.
_OWN_KEYS = ("general.architecture", "general.file_type", "general.quantization_version")


def quantize(source: Path, target: Path, quantization: Quantization, step: Step) -> None:
    """Write `source` (F16 or F32) to `target`, which appears when it is whole."""
    import gguf

    reader = gguf.GGUFReader(source)
    architecture = str(reader.fields["general.architecture"].contents())
    layers = int(reader.fields[f"{architecture}.block_count"].contents())
    shapes = {t.name: tuple(int(n) for n in reversed(t.shape)) for t in reader.tensors}
    plan = plan_types(shapes, layers, quantization)
    tensors = [
        Tensor(t.name, shapes[t.name], plan[t.name] or t.tensor_type, _loader(source, t))
        for t in reader.tensors
    ]
    with open_writer(target, architecture) as writer:
        _copy_values(reader, writer)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        writer.add_file_type(file_type(quantization))
        write_tensors(writer, tensors, step)


def file_type(quantization: Quantization) -> int:
    """The number a GGUF file names its quantisation by, as `general.file_type`."""
    import gguf

    kind = "ALL_F32" if quantization == "f32" else f"MOSTLY_{quantization.upper()}"
    return int(gguf.LlamaFileType[kind])


def plan_types(
    shapes: dict[str, tuple[int, ...]], layers: int, quantization: Quantization
) -> dict[str, GGMLQuantizationType | None]:
    """The type of each tensor, as llama.cpp chooses it; None where it stays as it is.

    shapes: of every tensor in the file, rows first. layers: how many blocks the model has.
    """
    from gguf import GGMLQuantizationType as Kind

    # Without an own output matrix the embedding does its work, and gets its precision.
    output = "output.weight" if "output.weight" in shapes else "token_embd.weight"
    plan: dict[str, Kind | None] = {}
    for name, shape in shapes.items():
        if len(shape) < 2 or not name.endswith(".weight") or "norm" in name:
            plan[name] = None
            continue
        kind = Kind[quantization.upper().removesuffix("_M")]
        if not quantization.endswith(("f32", "f16", "q8_0")):
            kind = _precise(kind, quantization, name, name == output, layers)
        plan[name] = _fitting(kind, shape[-1])
    return plan


def _precise(
    kind: GGMLQuantizationType,
    quantization: Quantization,
    name: str,
    is_output: bool,
    layers: int,
) -> GGMLQuantizationType:
    """The type, or a larger one for a tensor in which every bit counts."""
    from gguf import GGMLQuantizationType as Kind

    if is_output:
        return Kind.Q6_K
    if quantization in ("q4_k_m", "q5_k_m"):
        if _matters_more(name, layers):
            return Kind.Q6_K
        # Queries, keys and values in one: the values decide.
        if "attn_qkv." in name:
            return Kind.Q5_K if quantization == "q4_k_m" else Kind.Q6_K
    return kind


def _fitting(kind: GGMLQuantizationType, columns: int) -> GGMLQuantizationType:
    """The type, or the next larger one whose blocks fit into a row."""
    from gguf import GGMLQuantizationType as Kind

    smaller = {Kind.Q4_K: Kind.Q5_0, Kind.Q5_K: Kind.Q5_1, Kind.Q6_K: Kind.Q8_0}
    if kind in smaller and columns % 256:
        kind = smaller[kind]
    plain = kind in (Kind.F32, Kind.F16, Kind.BF16)
    return Kind.F16 if columns % 32 and not plain else kind


def _matters_more(name: str, layers: int) -> bool:
    """Whether a tensor is worth more bits: the first and last eighth, and every third between."""
    if not name.startswith("blk.") or not ("attn_v." in name or "ffn_down." in name):
        return False
    layer = int(name.split(".")[1])
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _loader(source: Path, tensor: Any) -> Callable[[], torch.Tensor]:
    import numpy as np
    import torch

    def load() -> torch.Tensor:
        # Mapped anew for each tensor and let go with it: each thread reads the pieces it works on,
        # and what was seen once doesn't stay in memory. Nothing is written to a copy-on-write map.
        shape, place = tensor.data.shape, int(tensor.data_offset)
        return torch.from_numpy(np.memmap(source, tensor.data.dtype, "c", place, shape))

    return load


def _copy_values(reader: GGUFReader, writer: GGUFWriter) -> None:
    from gguf import GGUFValueType

    for name, value in reader.fields.items():
        if name.startswith("GGUF.") or name in _OWN_KEYS:
            continue
        kind = value.types[0]
        of = value.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, value.contents(), kind, sub_type=of)
