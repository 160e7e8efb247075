"""EasyQuant (arXiv 2403.02775): ranges by the gradient of the weight's error, outliers exact.

The paper's two steps, sections 3.1 and 3.2:

- Entries further than n standard deviations from the mean are isolated and kept exactly; see
  `graph_ir.compression.outliers`.
- The range of what is left minimises the squared error of the weight, whose gradient by the scale
  is 2 sum_k (s q_k - w_k) q_k. The paper walks down it with Adam; here the scale where it vanishes
  is taken in closed form for the integers of every candidate of a line, see `range_kernel`.

Inputs are not looked at. With independent inputs of unit variance the mean square of the error of
the layer's output is the sum of squares of the weight's, so that sum decides, group by group, in
float64 and with the scale as it is stored, whether the range that was found replaces the one that
the signed extreme gives. No group is worse than round to nearest.

Axes: K inner, N columns, G groups, S rows of a group, P kept entries of a column.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from graph_ir.compression.grid import F32, Grid, QuantizedWeight, grouped
from graph_ir.compression.method import InputStatistics, WeightMethod
from graph_ir.compression.methods.range_kernel import search_ranges
from graph_ir.compression.methods.rtn import on_grid, range_of_groups, usable_scale
from graph_ir.errors import InputError

SMALLEST, LARGEST = 0.4, 1.15
"""Candidates lie between these shares of the range that holds a whole group."""

# Columns of a task: few enough that its copies stay small, a multiple of the kernel's lanes.
_COLUMNS = 512


@dataclass(frozen=True, slots=True)
class EasyQuant(WeightMethod):
    """Ranges by the gradient of the weight's error; no data.

    Attributes:
        search: candidates a sign (symmetric) or zero point; 0 leaves the extremes' range.
        threads: that work on a weight; all cores where 0. Results do not depend on it.
    """

    name: ClassVar[str] = "easyquant"

    search: int = 26
    threads: int = 0

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.search <= 1000:
            raise InputError(f"search={self.search}: expected 0 to 1000")
        if not 0 <= self.threads <= 1024:
            raise InputError(f"threads={self.threads}: expected 0 to 1024")

    def quantize(
        self, weight_KN: F32, grid: Grid, inputs: InputStatistics | None = None
    ) -> QuantizedWeight:
        """See `WeightMethod.quantize`."""
        shares = np.linspace(SMALLEST, LARGEST, self.search, dtype=np.float32)
        parts = [
            np.ascontiguousarray(weight_KN[:, start : start + _COLUMNS])
            for start in range(0, weight_KN.shape[1], _COLUMNS)
        ]
        with ThreadPoolExecutor(self.threads or os.cpu_count() or 1) as pool:
            done = list(pool.map(lambda part_KN: _quantized(part_KN, grid, shares), parts))
        zeros = [part.zero_GN for part in done if part.zero_GN is not None]
        return QuantizedWeight(
            grid,
            np.concatenate([part.levels_KN for part in done], axis=1),
            np.concatenate([part.scale_GN for part in done], axis=1),
            np.concatenate(zeros, axis=1) if zeros else None,
        )


def _quantized(weight_KN: F32, grid: Grid, shares: F32) -> QuantizedWeight:
    start = on_grid(weight_KN, grid, *range_of_groups(weight_KN, grid))
    if not len(shares):
        return start
    scale_GN = np.empty(start.scale_GN.shape, np.float32)
    found_GN = np.empty_like(scale_GN)
    importance_K = np.ones(len(weight_KN), np.float32)
    search_ranges(
        weight_KN, importance_K, grid.group, grid.lowest, grid.highest, shares, scale_GN, found_GN
    )
    zero_GN = None if grid.symmetric else found_GN.astype(np.uint8)
    other = on_grid(weight_KN, grid, usable_scale(scale_GN), zero_GN)
    better_GN = output_error(weight_KN, other) < output_error(weight_KN, start)
    better_KN = np.repeat(better_GN, grid.group, axis=0)[: len(weight_KN)]
    zeros_GN = None
    if other.zero_GN is not None and start.zero_GN is not None:
        zeros_GN = np.where(better_GN, other.zero_GN, start.zero_GN)
    return QuantizedWeight(
        grid,
        np.where(better_KN, other.levels_KN, start.levels_KN),
        np.where(better_GN, other.scale_GN, start.scale_GN),
        zeros_GN,
    )


def output_error(weight_KN: F32, quantized: QuantizedWeight) -> NDArray[np.float64]:
    """Mean square error of the output on independent inputs of unit variance, by group, `[G, N]`.

    Args:
        weight_KN: that was quantized.
        quantized: instead of it.
    """
    error_GSN = grouped(quantized.dequantized() - weight_KN, quantized.grid.group)
    error_GN: NDArray[np.float64] = np.square(error_GSN, dtype=np.float64).sum(axis=1)
    return error_GN
