"""What the inputs of products were like, summed over samples.

Axes: K inner, R rows.
"""

from collections.abc import Sequence

import numpy as np

from graph_ir.compression.grid import F32
from graph_ir.compression.method import Array, GramStatistics, InputStatistics

# Rows whose squares are summed in float32; what such blocks give is summed in float64. The
# rounding of a block is below 1e-6 of its sum.
_BLOCK_ROWS = 512


def input_statistics(arrays: Sequence[Array]) -> GramStatistics:
    """Mean of x x^T over the rows of all arrays; the last axis is K."""
    inner = arrays[0].shape[-1]
    gram_KK = np.zeros((inner, inner), np.float64)
    rows = 0
    for array in arrays:
        x_RK = np.asarray(array, np.float32).reshape(-1, inner)
        for start in range(0, len(x_RK), _BLOCK_ROWS):
            block_RK = x_RK[start : start + _BLOCK_ROWS]
            with np.errstate(over="ignore"):  # What is not finite is named by whoever asked.
                gram_KK += block_RK.T @ block_RK
        rows += len(x_RK)
    gram_KK /= max(rows, 1)
    return GramStatistics(np.diag(gram_KK).copy(), rows, gram_KK)


def output_square(inputs: InputStatistics, weight_KN: F32) -> float:
    """Mean over rows of |x W|^2; with mean squares alone, channels are taken as independent."""
    if isinstance(inputs, GramStatistics):
        return float(np.vdot(weight_KN, inputs.gram_KK.astype(np.float32) @ weight_KN))
    square_K = np.square(weight_KN).sum(axis=1, dtype=np.float64)
    return float(inputs.square_K @ square_K)
