"""Writes a GGUF file tensor by tensor, so that memory holds one tensor and not the model."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.step import Step

if TYPE_CHECKING:
    import torch
    from gguf import GGMLQuantizationType, GGUFWriter

# Weights that are converted at a time: 16 MiB of float32.
_PIECE = 1 << 22


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file to be.

    shape: rows first, as torch has it. kind: the type it gets in the file.
    load: reads the weights, of any floating-point type, when their turn comes.
    """

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    load: Callable[[], torch.Tensor]


@contextlib.contextmanager
def open_writer(target: Path, architecture: str) -> Iterator[GGUFWriter]:
    """A writer whose file appears under its name when the block ends without an error."""
    from gguf import GGUFWriter

    beside = target.with_name(f".{target.name}.tmp")
    writer = GGUFWriter(beside, architecture)
    try:
        yield writer
        writer.close()
        with open(beside, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(beside, target)
        files.sync_folder(target.parent)
    except BaseException:
        # On a full disk closing fails as well; the first failure is the one to report.
        with contextlib.suppress(OSError, ValueError):
            writer.close()
        beside.unlink(missing_ok=True)
        raise


def write_tensors(writer: GGUFWriter, tensors: Sequence[Tensor], step: Step) -> None:
    """Write the head with what `writer` was told so far, then each tensor in its type."""
    for tensor in tensors:
        _announce(writer, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, tensor in enumerate(tensors, 1):
        step.stop_if_asked()
        writer.write_tensor_data(encode(tensor.load(), tensor.kind, tensor.name))
        step.progress(number, len(tensors), "tensor")


def _announce(writer: GGUFWriter, tensor: Tensor) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType, quant_shape_to_byte_shape

    plain = {GGMLQuantizationType.F32: np.float32, GGMLQuantizationType.F16: np.float16}
    kind = np.dtype(plain.get(tensor.kind, np.uint8))
    shape = tensor.shape
    if tensor.kind not in plain:
        shape = quant_shape_to_byte_shape(tensor.shape, tensor.kind)
    size = int(np.prod(shape)) * kind.itemsize
    writer.add_tensor_info(tensor.name, shape, kind, size, raw_dtype=tensor.kind)


def encode(weights: torch.Tensor, kind: GGMLQuantizationType, name: str) -> Any:
    """The weights as a numpy array of the file's type, blocks as bytes.

    Raises UserError naming the tensor when a weight is no finite number in that type.
    """
    import numpy as np
    from gguf import GGMLQuantizationType as Kind
    from gguf import quant_shape_to_byte_shape

    from custom_ai.export.gguf import k_quants

    rows = weights.reshape(-1, weights.shape[-1])
    if kind.name in ("Q4_K", "Q5_K", "Q6_K"):
        # Looked up by name when it is needed, so that a test can plant a fault.
        search = getattr(k_quants, kind.name.lower())
        try:
            encoded = search(rows.reshape(-1, k_quants.SUPER_BLOCK)).numpy()
        except ValueError as error:
            raise UserError("export.not_finite", tensor=name) from error
        return encoded.reshape(*weights.shape[:-1], -1)
    if kind in (Kind.F16, Kind.F32):
        encoded = np.empty(rows.shape, np.float16 if kind == Kind.F16 else np.float32)
    else:
        encoded = np.empty(quant_shape_to_byte_shape(tuple(rows.shape), kind), np.uint8)
    at_once = max(1, _PIECE // rows.shape[1])
    for start in range(0, len(rows), at_once):
        encoded[start : start + at_once] = _encode_piece(rows[start : start + at_once], kind, name)
    return encoded.reshape(*weights.shape[:-1], -1)


def _encode_piece(rows: torch.Tensor, kind: GGMLQuantizationType, name: str) -> Any:
    import torch
    from gguf import GGMLQuantizationType, quants

    exact = rows.to(torch.float16 if kind == GGMLQuantizationType.F16 else torch.float32)
    if not torch.isfinite(exact).all():
        raise UserError("export.not_finite", tensor=name)
    if kind in (GGMLQuantizationType.F16, GGMLQuantizationType.F32):
        return exact.numpy()
    return quants.quantize(exact.contiguous().numpy(), kind)
