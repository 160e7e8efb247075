"""EasyQuant (arXiv 2403.02775): ranges where the gradient of the error vanishes.

The paper, section 3.2, minimises the squared error of the weight over the range of each group,
whose gradient by the scale is 2 sum_k (s q_k - w_k) q_k, with Adam. Here the scale where it
vanishes is taken in closed form for the integers of every candidate of a line, see `range_kernel`.
The paper, section 3.1, also keeps outliers exactly: `outliers=3` does. Small groups do nearly what
that does for whole columns, at the same bits and in onnxruntime's own kernel (docs/decisions,
outliers), so it is off.

Where the paper looks at the weight alone, each input channel counts here by the mean square of its
values on the inputs that the compiler makes up (`inputs.square_K`): random inputs have the
channels' sizes right long before they have anything else right. The sum
of h_k (w_k - s q_k)^2 is then the mean square error of the layer's output, for inputs of that
variance that are independent of each other. It also decides, group by group, in float64 and with
the scale as it is stored, whether the range that was found replaces the one that the signed
extreme gives: by that measure no group is worse than round to nearest.

Axes: K inner, N columns, G groups, S rows of a group.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from graph_ir.compression.entries import beyond
from graph_ir.compression.grid import F32, Grid, QuantizedWeight, grouped, side_by_side
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
    """Ranges by the gradient of the layer's error; inputs need not be real ones.

    Attributes:
        search: candidates a sign (symmetric) or zero point; 0 leaves the extremes' range.
        flatten: added to the mean square of each channel, as a share of its mean over channels: a
            channel that the inputs never reached still counts.
        threads: that work on a weight; all cores where 0. Results do not depend on it.
        outliers: entries so many standard deviations from the mean are kept exactly (as float16);
            none where 0. The paper's is 3.
    """

    name: ClassVar[str] = "easyquant"
    needs_squares: ClassVar[bool] = True

    search: int = 20
    flatten: float = 0.1
    threads: int = 0
    outliers: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.search <= 1000:
            raise InputError(f"search={self.search}: expected 0 to 1000")
        if not 0 < self.flatten <= 1000:
            raise InputError(f"flatten={self.flatten:g}: expected a number in (0, 1000]")
        if not 0 <= self.threads <= 1024:
            raise InputError(f"threads={self.threads}: expected 0 to 1024")
        if self.outliers != 0 and not 2 <= self.outliers <= 100:
            raise InputError(f"outliers={self.outliers:g}: expected 0 (none) or 2 to 100")

    def quantize(
        self, weight_KN: F32, grid: Grid, inputs: InputStatistics | None = None
    ) -> QuantizedWeight:
        """See `WeightMethod.quantize`."""
        shares = np.linspace(SMALLEST, LARGEST, self.search, dtype=np.float32)
        importance_K = np.ones(len(weight_KN), np.float32)
        if inputs is not None:
            importance_K = importance(inputs.square_K, self.flatten)

        entries = None
        if self.outliers:
            entries = beyond(weight_KN, self.outliers)
            weight_KN = weight_KN.copy()
            weight_KN[entries.row_P, entries.column_P] = 0

        def part(start: int) -> QuantizedWeight:
            part_KN = np.array(weight_KN[:, start : start + _COLUMNS], order="C")
            return _quantized(part_KN, grid, importance_K, shares)

        with ThreadPoolExecutor(self.threads or os.cpu_count() or 1) as pool:
            done = list(pool.map(part, range(0, weight_KN.shape[1], _COLUMNS)))
        return replace(side_by_side(done), entries=entries)

    def for_tables(self) -> WeightMethod:
        """See `WeightMethod.for_tables`."""
        return replace(self, outliers=0.0)


def importance(square_K: NDArray[np.float64], flatten: float) -> F32:
    """What a squared error in each row counts, 1 + `flatten` on average.

    The same for all rows where the inputs say nothing: all zero, or overflown.
    """
    mean = float(square_K.mean())
    if not 0 < mean < np.inf:
        return np.ones(len(square_K), np.float32)
    return np.asarray(square_K / mean + flatten, np.float32)


def _quantized(weight_KN: F32, grid: Grid, importance_K: F32, shares: F32) -> QuantizedWeight:
    start = on_grid(weight_KN, grid, *range_of_groups(weight_KN, grid))
    if not len(shares):
        return start
    scale_GN = np.empty(start.scale_GN.shape, np.float32)
    found_GN = np.empty_like(scale_GN)
    search_ranges(
        weight_KN, importance_K, grid.group, grid.lowest, grid.highest, shares, scale_GN, found_GN
    )
    zero_GN = None if grid.symmetric else found_GN.astype(np.uint8)
    other = on_grid(weight_KN, grid, usable_scale(scale_GN), zero_GN)
    better_GN = output_error(weight_KN, other, importance_K) < output_error(
        weight_KN, start, importance_K
    )
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


def output_error(
    weight_KN: F32, quantized: QuantizedWeight, importance_K: F32
) -> NDArray[np.float64]:
    """Mean square error of the output, what each group adds to it, `[G, N]`.

    Args:
        weight_KN: that was quantized.
        quantized: instead of it.
        importance_K: mean square of each input channel; channels are taken as independent.
    """
    group = quantized.grid.group
    error_GSN = grouped(quantized.dequantized() - weight_KN, group)
    importance_GS1 = grouped(importance_K[:, None], group)
    error_GN: NDArray[np.float64] = (np.square(error_GSN, dtype=np.float64) * importance_GS1).sum(
        axis=1
    )
    return error_GN
