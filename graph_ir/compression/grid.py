"""The integer grid of a weight, and a weight on it.

Axes: K inner (input channels), N columns (output channels), G groups of consecutive input
channels that share a scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from graph_ir.compression.entries import Entries
from graph_ir.errors import InputError

F32 = NDArray[np.float32]
I8 = NDArray[np.int8]
T = TypeVar("T", bound=np.generic)

BITS = (2, 4, 8)
"""Widths that onnxruntime has a fused product for; it has none for 3."""

GROUPS = (16, 32, 64, 128, 256)
"""Channels a scale that its fused product takes."""

SCALE_BITS = 16


@dataclass(frozen=True, slots=True)
class Grid:
    """Which values a weight may take.

    Attributes:
        bits: of an integer, out of `BITS`.
        group: input channels that share a scale, out of `GROUPS`.
        symmetric: no zero points; integers are signed. Otherwise they are unsigned.

    Raises:
        InputError: a width or group that no fused kernel takes.
    """

    bits: int = 4
    group: int = 32
    symmetric: bool = True

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise InputError(
                f"bits={self.bits}: expected one of {', '.join(map(str, BITS))}, which "
                "onnxruntime has a fused matrix product for"
            )
        if self.group not in GROUPS:
            raise InputError(
                f"group={self.group}: expected one of {', '.join(map(str, GROUPS))}, which "
                "onnxruntime's fused matrix product takes"
            )
        if self.bits == 2 and self.group in (16, 256):
            raise InputError(
                f"group={self.group}: at 2 bits expected 32, 64 or 128; onnxruntime falls back "
                "to a kernel a hundred times slower"
            )

    @property
    def lowest(self) -> int:
        """Smallest integer."""
        return -(1 << (self.bits - 1)) if self.symmetric else 0

    @property
    def highest(self) -> int:
        """Largest integer."""
        return (1 << (self.bits - 1)) - 1 if self.symmetric else (1 << self.bits) - 1

    def groups(self, inner: int) -> int:
        """How many groups K channels make; the last may be short."""
        return -(-inner // self.group)

    def stored_bits(self, inner: int, columns: int) -> int:
        """Bits of a weight `[K, N]` with its scales and zero points."""
        per_group = SCALE_BITS + (0 if self.symmetric else self.bits)
        return columns * (inner * self.bits + self.groups(inner) * per_group)


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """`W ~ (levels - zero) * scale`, groups of `grid.group` rows sharing scale and zero.

    Attributes:
        grid: of the levels.
        levels_KN: integers within the grid.
        scale_GN: float16; may be negative (the extreme of a group, sign and all, is then the
            lowest integer of the symmetric grid, which has one more than it has positive ones).
        zero_GN: integers within the grid; None on a symmetric one.
        entries: of the weight, exact, added to what the integers stand for, which is 0 there.
    """

    grid: Grid
    levels_KN: I8 | NDArray[np.uint8]
    scale_GN: NDArray[np.float16]
    zero_GN: NDArray[np.uint8] | None = None
    entries: Entries | None = None

    def dequantized(self) -> F32:
        """The weight that a runtime multiplies with, `[K, N]`."""
        inner = self.levels_KN.shape[0]
        levels_KN = self.levels_KN.astype(np.float32)
        if self.zero_GN is not None:
            levels_KN -= spread(self.zero_GN, self.grid.group, inner).astype(np.float32)
        levels_KN *= spread(self.scale_GN, self.grid.group, inner).astype(np.float32)
        if self.entries is not None:
            levels_KN[self.entries.row_P, self.entries.column_P] += self.entries.value_P
        return levels_KN

    def columns(self, start: int, stop: int) -> "QuantizedWeight":
        """Some of its columns, without a copy."""
        zero_GN = None if self.zero_GN is None else self.zero_GN[:, start:stop]
        return QuantizedWeight(
            self.grid,
            self.levels_KN[:, start:stop],
            self.scale_GN[:, start:stop],
            zero_GN,
            None if self.entries is None else self.entries.between(start, stop),
        )

    @property
    def stored_bits(self) -> int:
        """Bits with scales, zero points and exact entries."""
        inner, columns = self.levels_KN.shape
        kept = 0 if self.entries is None else self.entries.stored_bits(columns)
        return self.grid.stored_bits(inner, columns) + kept


def side_by_side(parts: Sequence[QuantizedWeight]) -> QuantizedWeight:
    """Columns of one weight, quantized apart from each other, without entries, as one."""
    if len(parts) == 1:
        return parts[0]
    zeros = [part.zero_GN for part in parts if part.zero_GN is not None]
    return QuantizedWeight(
        parts[0].grid,
        np.concatenate([part.levels_KN for part in parts], axis=1),
        np.concatenate([part.scale_GN for part in parts], axis=1),
        np.concatenate(zeros, axis=1) if zeros else None,
    )


def spread(per_group_GN: NDArray[T], group: int, inner: int) -> NDArray[T]:
    """A value of a group for each of its channels, `[K, N]`."""
    return np.repeat(per_group_GN, group, axis=0)[:inner]


def grouped(weight_KN: F32, group: int) -> NDArray[np.float32]:
    """`[G, group, N]`, the last group filled with zeros."""
    inner, columns = weight_KN.shape
    missing = -inner % group
    if missing:
        weight_KN = np.concatenate([weight_KN, np.zeros((missing, columns), np.float32)])
    return weight_KN.reshape(-1, group, columns)
