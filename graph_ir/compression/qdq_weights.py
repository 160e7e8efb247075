"""Weights with one scale per output channel: the form of integer matrix products.

A product of bytes accumulates in 32-bit integers; a scale can only be taken out of the sum where
all of an output channel shares it. `C` is the number of output channels.
"""

from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.grid import F32, I8
from graph_ir.compression.qdq import Writer
from graph_ir.errors import InputError

CHANNEL_BITS = (4, 7, 8)
"""Widths; 7 is stored in 8 bits, and runs at full speed on CPUs without VNNI."""

SCALE_BITS = 32 + 8
"""Of a channel: a float32 scale and a zero point."""

# Candidate ranges of a channel, as shares of its largest magnitude.
_SHARES = tuple(float(share) for share in np.linspace(1.0, 0.4, 31))


@dataclass(frozen=True, slots=True)
class ChannelWeight:
    """`W ~ levels * scale`, the scale along one axis.

    Attributes:
        bits: of a level.
        axis: of the output channels.
        levels: integers of `-(2^(bits-1) - 1)` to `2^(bits-1) - 1`, shaped as the weight.
        scale_C: float32, positive.
    """

    bits: int
    axis: int
    levels: I8
    scale_C: F32

    def dequantized(self) -> F32:
        """The weight that is computed with."""
        scale = along(self.scale_C, self.axis, self.levels.ndim)
        return np.asarray(self.levels.astype(np.float32) * scale, np.float32)

    @property
    def stored_bits(self) -> int:
        """Bits with scales."""
        return self.levels.size * (4 if self.bits == 4 else 8) + self.scale_C.size * SCALE_BITS


def along(per_channel_C: F32, axis: int, rank: int) -> F32:
    """Shaped to broadcast along an axis of a tensor."""
    return per_channel_C.reshape([-1 if at == axis else 1 for at in range(rank)])


def channel_scale(weight: F32, axis: int, bits: int) -> F32:
    """The scale of every output channel with the least square error, `[C]`.

    Of 8 bits it is the largest magnitude's; of 4 bits clipping pays, and the best of a few
    shares of it is taken.
    """
    highest = (1 << (bits - 1)) - 1
    rows_CE = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    extreme_C = np.abs(rows_CE).max(axis=1, initial=0.0)
    extreme_C = np.where(extreme_C > np.finfo(np.float32).tiny * highest, extreme_C, highest)
    best_C = (extreme_C / highest).astype(np.float32)
    if bits > 4:
        return best_C
    least_C = np.full(best_C.shape, np.inf)
    for share in _SHARES:
        scale_C = (extreme_C * share / highest).astype(np.float32)
        steps_CE = np.clip(np.rint(rows_CE / scale_C[:, None]), -highest, highest)
        error_C = np.square(steps_CE * scale_C[:, None] - rows_CE).sum(axis=1, dtype=np.float64)
        best_C = np.where(error_C < least_C, scale_C, best_C)
        least_C = np.minimum(error_C, least_C)
    return best_C


def on_channels(weight: F32, axis: int, bits: int, scale_C: F32) -> ChannelWeight:
    """A weight rounded to the nearest levels of given scales."""
    highest = (1 << (bits - 1)) - 1
    steps = np.rint(weight / along(scale_C, axis, weight.ndim))
    return ChannelWeight(bits, axis, np.clip(steps, -highest, highest).astype(np.int8), scale_C)


def checked(weight: NDArray[np.generic], name: str, node: str) -> F32:
    """A weight as float32.

    Raises:
        InputError: it holds a NaN or an infinity.
    """
    array = weight.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"weight {name} of {node}: expected finite values, got NaN or infinity")
    return array


def dequantized_weight(
    writer: Writer, before: ir.Node, stem: str, weight: ChannelWeight
) -> ir.Value:
    """The float32 value of a weight, its nodes inserted before one.

    Four bits are stored as such and widened by a Cast that onnxruntime folds when it loads the
    model, so that its kernels for bytes serve them. The zero points are given, though they are 0:
    where onnxruntime 1.31 takes signed bytes as unsigned ones, it makes up a single one for all
    channels, which its own DequantizeLinear refuses.
    """
    levels = stored_levels(writer, before, stem, weight)
    scale = writer.constant(f"{stem}.scale", weight.scale_C, ir.DataType.FLOAT)
    zeros = np.zeros(weight.scale_C.shape, np.int8)
    zero = writer.constant(f"{stem}.zero", zeros, ir.DataType.INT8)
    (floats,) = writer.node(
        before,
        "DequantizeLinear",
        [levels, scale, zero],
        f"{stem}/dequantize",
        [ir.DataType.FLOAT],
        [weight.levels.shape],
        {"axis": weight.axis},
    )
    return floats


def stored_levels(writer: Writer, before: ir.Node, stem: str, weight: ChannelWeight) -> ir.Value:
    """The INT8 value of a weight's levels, stored in as few bits as they have."""
    if weight.bits != 4:
        return writer.constant(f"{stem}.q", weight.levels, ir.DataType.INT8)
    packed = writer.constant(f"{stem}.q", weight.levels.astype(ml_dtypes.int4), ir.DataType.INT4)
    (levels,) = writer.node(
        before,
        "Cast",
        [packed],
        f"{stem}.q/widen",
        [ir.DataType.INT8],
        [weight.levels.shape],
        {"to": int(ir.DataType.INT8)},
    )
    return levels
