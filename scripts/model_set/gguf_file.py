"""Reads a GGUF v3 file: metadata, and tensors of the types F32, Q4_1 and Q8_0 as float32.

Every count and offset is checked against the size of the file before anything is read.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graph_ir.errors import InputError

Scalar = int | float | bool | str
Value = Scalar | list[Scalar]

# Type id in the metadata -> struct format.
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
# Tensor type id -> elements and bytes of a block.
_BLOCKS = {0: (1, 4), 3: (32, 20), 8: (32, 34)}


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """Where a tensor lies: numpy shape (slowest axis first), type id, offset in the file."""

    shape: tuple[int, ...]
    kind: int
    offset: int


class _Cursor:
    """Reads little-endian values from a mapped file and refuses to pass its end."""

    def __init__(self, data: np.memmap, path: Path) -> None:
        self.data = data
        self.path = path
        self.position = 0

    def take(self, count: int) -> bytes:
        left = len(self.data) - self.position
        if count > left:
            raise InputError(f"{self.path}: expected {count} bytes at {self.position}, got {left}")
        self.position += count
        return self.data[self.position - count : self.position].tobytes()

    def scalar(self, form: str) -> Scalar:
        value: Scalar = struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]
        return value

    def integer(self, form: str) -> int:
        return int(self.scalar(form))

    def string(self) -> str:
        return self.take(self.integer("Q")).decode("utf-8", errors="replace")

    def value(self, kind: int) -> Value:
        if kind == _ARRAY:
            element, count = self.integer("I"), self.integer("Q")
            return [self.element(element) for _ in range(count)]
        return self.element(kind)

    def element(self, kind: int) -> Scalar:
        if kind == _STRING:
            return self.string()
        if kind not in _SCALARS:
            raise InputError(f"{self.path}: expected a known metadata type, got {kind}")
        return self.scalar(_SCALARS[kind])


class GgufFile:
    """An opened file.

    Attributes:
        metadata: key -> value.
        tensors: name -> where it lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = np.memmap(path, np.uint8, mode="r")
        cursor = _Cursor(self._data, path)
        magic, version = cursor.take(4), cursor.integer("I")
        if magic != b"GGUF" or version != 3:
            raise InputError(f"{path}: expected a GGUF file of version 3, got {magic!r} {version}")
        tensor_count, entry_count = cursor.integer("Q"), cursor.integer("Q")
        self.metadata: dict[str, Value] = {}
        for _ in range(entry_count):
            key = cursor.string()
            self.metadata[key] = cursor.value(cursor.integer("I"))
        infos: list[tuple[str, tuple[int, ...], int, int]] = []
        for _ in range(tensor_count):
            name, rank = cursor.string(), cursor.integer("I")
            shape = tuple(cursor.integer("Q") for _ in range(rank))[::-1]
            infos.append((name, shape, cursor.integer("I"), cursor.integer("Q")))
        alignment = self.integer("general.alignment", 32)
        base = -(-cursor.position // alignment) * alignment
        self.tensors = {name: GgufTensor(s, kind, base + o) for name, s, kind, o in infos}

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number of the metadata."""
        value = self.metadata.get(key, default)
        if not isinstance(value, int):
            raise InputError(f"{self.path}: expected a whole number {key}, got {value!r:.40}")
        return value

    def number(self, key: str) -> float:
        """A number of the metadata."""
        value = self.metadata.get(key)
        if not isinstance(value, int | float):
            raise InputError(f"{self.path}: expected a number {key}, got {value!r:.40}")
        return float(value)

    def strings(self, key: str) -> list[str]:
        """A list of strings of the metadata."""
        value = self.metadata.get(key)
        if not isinstance(value, list):
            raise InputError(f"{self.path}: expected a list {key}, got {value!r:.40}")
        return [str(item) for item in value]

    def read(self, name: str) -> np.ndarray:
        """The tensor as float32."""
        if name not in self.tensors:
            raise InputError(f"{self.path}: expected a tensor {name}, got none")
        tensor = self.tensors[name]
        if tensor.kind not in _BLOCKS:
            raise InputError(f"{self.path}: {name}: expected F32, Q4_1 or Q8_0, got {tensor.kind}")
        elements, block_bytes = _BLOCKS[tensor.kind]
        count = 1
        for extent in tensor.shape:
            count *= extent
        size = count // elements * block_bytes
        end = tensor.offset + size
        if count % elements or end > len(self._data):
            raise InputError(f"{self.path}: {name}: expected {end} bytes, got {len(self._data)}")
        raw = self._data[tensor.offset : end]
        if tensor.kind == 0:
            return raw.view("<f4").astype(np.float32).reshape(tensor.shape)
        blocks = raw.reshape(-1, block_bytes)
        decode = _decode_q4_1 if tensor.kind == 3 else _decode_q8_0
        return decode(blocks).reshape(tensor.shape)


def _halves(blocks: np.ndarray, start: int) -> np.ndarray:
    return np.ascontiguousarray(blocks[:, start : start + 2]).view("<f2").astype(np.float32)


def _decode_q4_1(blocks: np.ndarray) -> np.ndarray:
    """Scale, offset, 16 bytes: low nibbles are elements 0 to 15, high ones 16 to 31."""
    packed = blocks[:, 4:]
    quants = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)
    result: np.ndarray = quants * _halves(blocks, 0) + _halves(blocks, 2)
    return result


def _decode_q8_0(blocks: np.ndarray) -> np.ndarray:
    """Scale, 32 signed bytes."""
    quants = np.ascontiguousarray(blocks[:, 2:]).view(np.int8).astype(np.float32)
    result: np.ndarray = quants * _halves(blocks, 0)
    return result
