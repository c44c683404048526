"""Reads the head of a GGUF file and checks it, before any native code gets to see the file."""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from custom_ai.errors import UserError

# value type → format of struct and size in bytes; 8 is a string, 9 an array.
_SCALARS = {
    0: ("B", 1),
    1: ("b", 1),
    2: ("H", 2),
    3: ("h", 2),
    4: ("I", 4),
    5: ("i", 4),
    6: ("f", 4),
    7: ("?", 1),
    10: ("Q", 8),
    11: ("q", 8),
    12: ("d", 8),
}
_STRING, _ARRAY = 8, 9

# tensor type → (weights, bytes) of one block.
_BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    30: (1, 2),
}
_MOST_ENTRIES = 1 << 16
_LONGEST = 1 << 30


class _Damage(Exception):
    """What is wrong with the file, in a few words for the log and the message."""


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says of itself.

    values: the metadata but for arrays, of which only the length is kept.
    tensors: name → (shape with the fastest axis first, number of the tensor type).
    """

    values: dict[str, Any]
    tensors: dict[str, tuple[tuple[int, ...], int]]

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    @property
    def context_length(self) -> int:
        """The longest text the model was made for, in tokens; 0 where the file doesn't say."""
        said = self.values.get(f"{self.architecture}.context_length", 0)
        return said if isinstance(said, int) else 0


def read_header(path: Path) -> GgufHeader:
    """Read and check the head: every count is bounded and every tensor lies inside the file.

    Raises UserError for a file that is no GGUF, cut off or inconsistent.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as stream:
            return _Reader(stream, size).header()
    except (_Damage, struct.error, UnicodeDecodeError) as error:
        raise UserError("export.gguf_damaged", file=path.name, reason=error) from error


class _Reader:
    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size

    def header(self) -> GgufHeader:
        if self._bytes(4) != b"GGUF":
            raise _Damage("no GGUF")
        if (version := self._number("I")) not in (2, 3):
            raise _Damage(f"version {version}")
        tensor_count, value_count = self._number("Q"), self._number("Q")
        if tensor_count > _MOST_ENTRIES or value_count > _MOST_ENTRIES:
            raise _Damage("too many entries")
        values: dict[str, Any] = {}
        for _ in range(value_count):
            name = self._string()
            values[name] = self._value(self._number("I"))
        tensors: dict[str, tuple[tuple[int, ...], int]] = {}
        ends = [0]
        for _ in range(tensor_count):
            name = self._string()
            shape, kind, offset = self._tensor(name)
            tensors[name] = (shape, kind)
            ends.append(offset + _bytes_of(name, shape, kind))
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 16:
            raise _Damage(f"alignment {alignment}")
        start = -(-self._stream.tell() // alignment) * alignment
        if start + max(ends) > self._size:
            raise _Damage(f"{self._size} of {start + max(ends)} bytes")
        return GgufHeader(values, tensors)

    def _tensor(self, name: str) -> tuple[tuple[int, ...], int, int]:
        if (dimensions := self._number("I")) > 4:
            raise _Damage(f"{name}: {dimensions} dimensions")
        shape = tuple(self._number("Q") for _ in range(dimensions))
        return shape, self._number("I"), self._number("Q")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._skip_array()
        if kind not in _SCALARS:
            raise _Damage(f"value type {kind}")
        return self._number(_SCALARS[kind][0])

    def _skip_array(self) -> int:
        kind: int = self._number("I")
        length: int = self._number("Q")
        if kind == _STRING:
            if length > self._size // 8:
                raise _Damage("array too long")
            for _ in range(length):
                self._skip(self._number("Q"))
        elif kind in _SCALARS:
            self._skip(length * _SCALARS[kind][1])
        else:
            raise _Damage(f"array of type {kind}")
        return length

    def _string(self) -> str:
        length = self._number("Q")
        if length > min(self._size, _LONGEST):
            raise _Damage("string too long")
        return self._bytes(length).decode("utf-8")

    def _number(self, letter: str) -> Any:
        layout = "<" + letter
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))[0]

    def _bytes(self, length: int) -> bytes:
        data = self._stream.read(length)
        if len(data) != length:
            raise _Damage("cut off")
        return data

    def _skip(self, length: int) -> None:
        if self._stream.tell() + length > self._size:
            raise _Damage("cut off")
        self._stream.seek(length, 1)


def _bytes_of(name: str, shape: tuple[int, ...], kind: int) -> int:
    if kind not in _BLOCKS:
        raise _Damage(f"{name}: tensor type {kind}")
    count = math.prod(shape)
    weights, size = _BLOCKS[kind]
    if count >= 1 << 62 or (shape and shape[0] % weights):
        raise _Damage(f"{name}: shape {shape}")
    return count // weights * size
