"""Execution types: the element formats that placement and simulation count bytes in."""

from collections.abc import Sequence
from math import prod

# Bits per element. int4 is packed, two elements a byte.
BITS: dict[str, int] = {
    "fp64": 64,
    "fp32": 32,
    "fp16": 16,
    "bf16": 16,
    "fp8": 8,
    "int64": 64,
    "int32": 32,
    "int16": 16,
    "int8": 8,
    "int4": 4,
    "int2": 2,
    "bool": 8,
}


def stored_bytes(shape: Sequence[int], data_type: str) -> int:
    """Bytes of a densely packed tensor, rounded up to whole bytes.

    Args:
        shape: extent of every axis; the empty shape is a scalar.
        data_type: a key of `BITS`.
    """
    return (prod(shape) * BITS[data_type] + 7) // 8
