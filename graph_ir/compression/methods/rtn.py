"""Round to nearest.

Symmetric: the extreme of a group, with its sign, becomes the lowest integer, so that the scale may
be negative. Of the grid's 2^b values none is lost, and the largest entry is exact (AutoRound's
and ggml's choice; on heavy-tailed weights its error is a quarter below that of absmax / 7).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from graph_ir.compression.grid import F32, Grid, QuantizedWeight, grouped, side_by_side
from graph_ir.compression.method import InputStatistics, WeightMethod

# Columns at a time: bounds the memory that a classifier head takes.
_COLUMNS = 4096


@dataclass(frozen=True, slots=True)
class Rtn(WeightMethod):
    """Round to nearest, range of a group from its extremes."""

    name: ClassVar[str] = "rtn"

    def quantize(
        self, weight_KN: F32, grid: Grid, inputs: InputStatistics | None = None
    ) -> QuantizedWeight:
        """See `WeightMethod.quantize`."""
        parts = []
        for start in range(0, weight_KN.shape[1], _COLUMNS):
            part_KN = weight_KN[:, start : start + _COLUMNS]
            parts.append(on_grid(part_KN, grid, *range_of_groups(part_KN, grid)))
        return side_by_side(parts)


def range_of_groups(
    weight_KN: F32, grid: Grid
) -> tuple[NDArray[np.float16], NDArray[np.uint8] | None]:
    """Scale and zero point of every group such that its extremes are on the grid, `[G, N]`."""
    groups_GSN = grouped(weight_KN, grid.group)
    high_GN, low_GN = groups_GSN.max(axis=1), groups_GSN.min(axis=1)
    if grid.symmetric:
        extreme_GN = np.where(high_GN > -low_GN, high_GN, low_GN)
        return usable_scale(extreme_GN / np.float32(grid.lowest)), None
    high_GN, low_GN = np.maximum(high_GN, 0), np.minimum(low_GN, 0)
    scale_GN = usable_scale((high_GN - low_GN) / np.float32(grid.highest))
    zero_GN = np.rint(-low_GN / scale_GN.astype(np.float32))
    return scale_GN, np.clip(zero_GN, 0, grid.highest).astype(np.uint8)


def usable_scale(scale_GN: F32) -> NDArray[np.float16]:
    """As float16, and never 0: a group of zeros has scale 1."""
    tiny = np.finfo(np.float16).smallest_subnormal
    stored_GN = scale_GN.astype(np.float16)
    stored_GN = np.where((stored_GN == 0) & (scale_GN != 0), np.copysign(tiny, scale_GN), stored_GN)
    return np.where(stored_GN == 0, np.float16(1), stored_GN).astype(np.float16)


def on_grid(
    weight_KN: F32,
    grid: Grid,
    scale_GN: NDArray[np.float16],
    zero_GN: NDArray[np.uint8] | None,
) -> QuantizedWeight:
    """Every entry rounded to the nearest value of its group's grid."""
    inner, columns = weight_KN.shape
    steps_GSN = grouped(weight_KN, grid.group) / scale_GN.astype(np.float32)[:, None]
    if zero_GN is not None:
        steps_GSN += zero_GN.astype(np.float32)[:, None]
    levels_GSN = np.clip(np.rint(steps_GSN), grid.lowest, grid.highest)
    stored = np.int8 if grid.symmetric else np.uint8
    levels_KN = levels_GSN.reshape(-1, columns)[:inner].astype(stored)
    return QuantizedWeight(grid, levels_KN, scale_GN, zero_GN)
