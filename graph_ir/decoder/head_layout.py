"""How a graph lays out the rows of its heads, and the way to `[1, heads, rows, width]` and back.

Suffixes: H heads, R rows, W width of a head.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.decoder.emit import Emitter
from graph_ir.errors import InputError


@dataclass(frozen=True, slots=True)
class HeadLayout:
    """An arrangement of heads, rows and widths that is one of three, whatever its rank.

    Attributes:
        kind: `HRW`, `RHW` or `HWR`, in the order of memory.
        shape: extents, with -1 where the rows are (times the query heads of a group, perhaps).
        heads: number of heads.
        width: of a head.
    """

    kind: str
    shape: tuple[int, ...]
    heads: int
    width: int

    def read(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """The array as `[H, R, W]`."""
        extents = {"H": self.heads, "R": -1, "W": self.width}
        parts = array.reshape([extents[axis] for axis in self.kind])
        return parts.transpose([self.kind.index(axis) for axis in "HRW"])

    def write(self, array_HRW: NDArray[np.generic]) -> NDArray[np.generic]:
        """The array as the graph lays it out."""
        turned = array_HRW.transpose(["HRW".index(axis) for axis in self.kind])
        return np.ascontiguousarray(turned).reshape(self.shape)

    def emit_read(self, emitter: Emitter, value: ir.Value) -> ir.Value:
        """Nodes that turn the graph's layout into `[1, H, R, W]`."""
        if self.kind == "HRW" and self.shape == (1, self.heads, -1, self.width):
            return value
        extents = {"H": self.heads, "R": -1, "W": self.width}
        wanted = (1, *(extents[axis] for axis in self.kind))
        if self.shape != wanted:
            value = emitter.reshape(value, wanted)
        if self.kind == "HRW":
            return value
        order = [0, *(1 + self.kind.index(axis) for axis in "HRW")]
        return emitter.transpose(value, order)

    def emit_write(self, emitter: Emitter, value: ir.Value) -> ir.Value:
        """Nodes that turn `[1, H, R, W]` into the graph's layout."""
        if self.kind != "HRW":
            order = [0, *(1 + "HRW".index(axis) for axis in self.kind)]
            value = emitter.transpose(value, order)
        extents = {"H": self.heads, "R": -1, "W": self.width}
        if self.shape == (1, *(extents[axis] for axis in self.kind)):
            return value
        return emitter.reshape(value, self.shape)


def layout_of(
    shape: tuple[int, ...], rows_axis: int, rows: int, width: int, heads: int, where: str
) -> HeadLayout:
    """Recognises a layout from the shape of one array.

    Args:
        shape: of the array.
        rows_axis: the axis that grows with the rows.
        rows: how many there are in the array.
        width: of a head, 0 where only `heads` is known.
        heads: number of heads, 0 where only `width` is known.
        where: for messages.

    Raises:
        InputError: not a layout of whole heads.
    """
    total = prod(shape)
    lead, trail = prod(shape[:rows_axis]), prod(shape[rows_axis + 1 :])
    if not width and heads:
        width = total // max(1, rows * heads)
    known = width or trail
    heads = heads or total // max(1, rows * known)
    if rows * known * heads != total or heads == 0:
        raise InputError(f"{where}: expected whole heads of width {known}, got shape {list(shape)}")
    template = tuple(-1 if at == rows_axis else extent for at, extent in enumerate(shape))
    if trail == known:
        kind = "HRW"
    elif lead == 1:
        kind = "RHW"
    elif trail == 1:
        kind = "HWR"
    else:
        raise InputError(
            f"{where}: expected heads, rows and widths in a usual order, got shape {list(shape)}"
        )
    return HeadLayout(kind, template, heads, known)


def growing_axis(shape: tuple[int, ...], larger: tuple[int, ...], fallback: int, where: str) -> int:
    """The axis in which two shapes differ.

    Args:
        shape: at some number of rows.
        larger: at another one; the same shape where a graph takes one row only.
        fallback: the axis where they do not differ.
        where: for messages.

    Raises:
        InputError: more than one axis differs, or the rank.
    """
    if len(shape) != len(larger):
        raise InputError(f"{where}: its rank changes with the number of rows")
    axes = [at for at, (a, b) in enumerate(zip(shape, larger, strict=True)) if a != b]
    if len(axes) > 1:
        raise InputError(f"{where}: more than one extent changes with the number of rows")
    return axes[0] if axes else fallback % len(shape)
