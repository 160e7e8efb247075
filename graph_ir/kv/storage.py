"""How keys and values are stored: as they are, as float16, or as integers with scales per entry.

Integers of b bits are levels between the least and the greatest value of a block of channels of one
entry: `x = low + scale * level`, scale and low as float16. Blocks are whole entries but for keys of
4 bits, which have blocks of 32 channels. Rows of 4 bits are rotated first by a Hadamard matrix, so
that the few channels in which they are large are spread over all: queries are rotated as the keys
are, which leaves their products as they were, and what was attended to is rotated back. See
docs/decisions/0035-caches-in-the-graph.md.

Suffixes: H heads, N entries, W width, B blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.kv.writing import Writer

_KEY_BLOCK = 32
_LEAST_SCALE = 6e-8  # the smallest float16
_GREATEST = 6e4  # float16 has no more


@dataclass(frozen=True, slots=True)
class Storage:
    """Of keys or of values of a group.

    Attributes:
        bits: 32, 16, 8 or 4.
        heads: of the group.
        width: of an entry.
        is_key: whether they are keys.
    """

    bits: int
    heads: int
    width: int
    is_key: bool

    @property
    def blocks(self) -> int:
        """Blocks of an entry with a scale of their own; 0 where there are no scales."""
        if self.bits > 8:
            return 0
        split = self.is_key and self.bits == 4 and self.width % _KEY_BLOCK == 0
        return self.width // _KEY_BLOCK if split else 1

    @property
    def entry(self) -> tuple[ir.DataType, int]:
        """Type and number of the elements of an entry."""
        if self.bits == 4:
            return ir.DataType.UINT8, self.width // 2
        types = {32: ir.DataType.FLOAT, 16: ir.DataType.FLOAT16, 8: ir.DataType.UINT8}
        return types[self.bits], self.width

    @property
    def is_rotated(self) -> bool:
        """Whether entries are stored rotated."""
        return self.bits == 4

    def rotated(self, writer: Writer, rows: ir.Value) -> ir.Value:
        """Rows as they are stored."""
        if not self.is_rotated:
            return rows
        return writer.op("MatMul", rows, writer.constant(hadamard(self.width)))

    def turned_back(self, writer: Writer, rows: ir.Value) -> ir.Value:
        """What weighted sums of rows as they are stored are of the rows themselves."""
        if not self.is_rotated:
            return rows
        return writer.op("MatMul", rows, writer.constant(hadamard(self.width).T.copy()))

    def encoded(self, writer: Writer, rows_BHNW: ir.Value) -> list[ir.Value]:
        """What is stored of rows: entries, then scales."""
        if self.bits == 32:
            return [rows_BHNW]
        if self.bits == 16:
            return [writer.cast(rows_BHNW, ir.DataType.FLOAT16)]
        greatest = 2**self.bits - 1
        blocks = writer.reshape(rows_BHNW, self._blocked)
        bounds = writer.number(-_GREATEST), writer.number(_GREATEST)
        low, high = (
            writer.op("Clip", writer.reduce(kind, blocks, -1), *bounds)
            for kind in ("ReduceMin", "ReduceMax")
        )
        scale = writer.op("Div", writer.op("Sub", high, low), writer.number(greatest))
        scale = writer.op("Max", scale, writer.number(_LEAST_SCALE))
        scale, low = (writer.cast(value, ir.DataType.FLOAT16) for value in (scale, low))
        stored = writer.reshape(
            writer.concat([scale, low], 3), [1, self.heads, -1, 2 * self.blocks]
        )
        scale, low = (writer.cast(value, ir.DataType.FLOAT) for value in (scale, low))
        levels = writer.op("Round", writer.op("Div", writer.op("Sub", blocks, low), scale))
        levels = writer.op("Clip", levels, writer.number(0), writer.number(greatest))
        levels = writer.reshape(levels, [1, self.heads, -1, self.width])
        if self.bits == 4:
            first, second = _halves(writer, levels, self.width)
            levels = writer.op("Add", first, writer.op("Mul", second, writer.number(16)))
        return [writer.cast(levels, ir.DataType.UINT8), stored]

    def decoded(self, writer: Writer, parts: Sequence[ir.Value]) -> ir.Value:
        """Rows out of what is stored of them."""
        if self.bits == 32:
            return parts[0]
        levels = parts[0]
        if self.bits == 4:
            four = writer.constant(np.array(4, np.uint8))
            left, right = {"direction": "LEFT"}, {"direction": "RIGHT"}
            first = writer.op("BitShift", levels, four, attributes=left)
            first = writer.op("BitShift", first, four, attributes=right)
            second = writer.op("BitShift", levels, four, attributes=right)
            levels = writer.concat([first, second], 3)
        rows = writer.cast(levels, ir.DataType.FLOAT)
        if self.bits == 16:
            return rows
        stored = writer.cast(parts[1], ir.DataType.FLOAT)
        scale, low = (
            writer.reshape(half, [1, self.heads, -1, self.blocks, 1])
            for half in _halves(writer, stored, 2 * self.blocks)
        )
        rows = writer.reshape(rows, self._blocked)
        rows = writer.op("Add", writer.op("Mul", rows, scale), low)
        return writer.reshape(rows, [1, self.heads, -1, self.width])

    @property
    def _blocked(self) -> list[int]:
        return [1, self.heads, -1, self.blocks, self.width // self.blocks]


def hadamard(width: int) -> NDArray[np.float32]:
    """Orthogonal matrix, Hadamard blocks of the largest power of two that divides the width."""
    size = width & -width
    block = np.ones((1, 1))
    while len(block) < size:
        block = np.block([[block, block], [block, -block]])
    whole = np.kron(np.eye(width // size), block / np.sqrt(size))
    return whole.astype(np.float32)


def _halves(writer: Writer, value: ir.Value, width: int) -> tuple[ir.Value, ir.Value]:
    half = width // 2
    first, second = (
        writer.op("Slice", value, *(writer.integers([number]) for number in (at, at + half, 3)))
        for at in (0, half)
    )
    return first, second
