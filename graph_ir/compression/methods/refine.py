"""Improves integers and scales of a quantized weight in turn, under the layer's Hessian.

The objective is tr(E^T H E), E = W - Q, for every column by itself.

- Integers: coordinate descent (as CDQuant, arXiv 2406.17542, and the greedy passes of QuIP,
  arXiv 2307.13304, do from their starts): row k takes the integer that is best while the others
  stay. With R = H E kept up to date that is the nearest to q_k + R_k / H_kk.
- Scales: with the integers fixed the best scales of a column solve a G x G linear system,
  B^T H B s = B^T H w with B the integers of group g in column g; they are rounded to float16,
  and kept only where the objective falls.

No step makes the objective of a column larger. Axes: K inner, N columns, G groups, S rows of a
group.
"""

import numpy as np
from numpy.typing import NDArray

from graph_ir.compression.grid import F32, Grid, QuantizedWeight, grouped, spread
from graph_ir.compression.methods.rtn import usable_scale

_BLOCK_ROWS = 128
# Added to the diagonal of the scales' system, as a share of its mean: a group of zeros has none.
_RIDGE = 1e-6


def refine(
    weight_KN: F32, quantized: QuantizedWeight, hessian_KK: NDArray[np.float64], sweeps: int
) -> QuantizedWeight:
    """The same weight with integers and scales that are at least as good.

    Args:
        weight_KN: that is quantized.
        quantized: where to begin.
        hessian_KK: positive definite.
        sweeps: how often scales, then all integers, are chosen anew.
    """
    narrow_KK = hessian_KK.astype(np.float32)
    for _ in range(sweeps):
        rescaled = with_best_scales(weight_KN, quantized, narrow_KK)
        quantized = descend(weight_KN, rescaled, narrow_KK)
    return quantized


def descend(weight_KN: F32, quantized: QuantizedWeight, hessian_KK: F32) -> QuantizedWeight:
    """One sweep of coordinate descent over all rows."""
    grid = quantized.grid
    inner = len(weight_KN)
    scale_KN = spread(quantized.scale_GN, grid.group, inner).astype(np.float32)
    levels_KN = quantized.levels_KN.astype(np.float32)
    residual_KN = hessian_KK @ (weight_KN - quantized.dequantized())
    diagonal_K = np.diag(hessian_KK)
    for start in range(0, inner, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, inner)
        moved_BN = np.empty((stop - start, weight_KN.shape[1]), np.float32)
        for row in range(start, stop):
            wanted_N = levels_KN[row] + residual_KN[row] / (diagonal_K[row] * scale_KN[row])
            level_N = np.clip(np.rint(wanted_N), grid.lowest, grid.highest)
            moved_N = (level_N - levels_KN[row]) * scale_KN[row]
            levels_KN[row] = level_N
            moved_BN[row - start] = moved_N
            residual_KN[row:stop] -= hessian_KK[row:stop, row, None] * moved_N
        residual_KN[stop:] -= hessian_KK[stop:, start:stop] @ moved_BN
    return QuantizedWeight(
        grid, as_integers(levels_KN, grid), quantized.scale_GN, quantized.zero_GN
    )


def as_integers(levels_KN: F32, grid: Grid) -> NDArray[np.int8] | NDArray[np.uint8]:
    """Levels in the type that a grid stores."""
    return levels_KN.astype(np.int8) if grid.symmetric else levels_KN.astype(np.uint8)


def with_best_scales(
    weight_KN: F32, quantized: QuantizedWeight, hessian_KK: F32
) -> QuantizedWeight:
    """The same integers with the best scales, where rounding them to float16 leaves a gain."""
    group = quantized.grid.group
    unit_KN = quantized.levels_KN.astype(np.float32)
    if quantized.zero_GN is not None:
        unit_KN -= spread(quantized.zero_GN, group, len(unit_KN)).astype(np.float32)
    unit_GSN = grouped(unit_KN, group)
    groups, _, columns = unit_GSN.shape
    system_NGG = np.empty((columns, groups, groups), np.float64)
    for g in range(groups):
        rows = slice(g * group, min((g + 1) * group, len(unit_KN)))
        through_GSN = grouped(hessian_KK[:, rows] @ unit_KN[rows], group)
        system_NGG[:, :, g] = (through_GSN * unit_GSN).sum(axis=1).T
    wanted_GN = (grouped(hessian_KK @ weight_KN, group) * unit_GSN).sum(axis=1)
    diagonal_NG = np.einsum("ngg->ng", system_NGG)
    diagonal_NG += _RIDGE * diagonal_NG.mean(axis=1, keepdims=True) + 1e-30
    exact_GN = np.linalg.solve(system_NGG, wanted_GN.T[:, :, None])[:, :, 0].T.astype(np.float32)
    empty_GN = ~unit_GSN.any(axis=1)
    scale_GN = np.where(empty_GN, quantized.scale_GN, usable_scale(exact_GN))
    rescaled = QuantizedWeight(quantized.grid, quantized.levels_KN, scale_GN, quantized.zero_GN)
    better_N = objective(weight_KN, rescaled, hessian_KK) < objective(
        weight_KN, quantized, hessian_KK
    )
    return QuantizedWeight(
        quantized.grid,
        quantized.levels_KN,
        np.where(better_N, scale_GN, quantized.scale_GN),
        quantized.zero_GN,
    )


def objective(weight_KN: F32, quantized: QuantizedWeight, hessian_KK: F32) -> NDArray[np.float64]:
    """e^T H e of every column."""
    error_KN = weight_KN - quantized.dequantized()
    through_KN = (hessian_KK @ error_KN) * error_KN
    column_N: NDArray[np.float64] = through_KN.sum(axis=0, dtype=np.float64)
    return column_N
