"""The scale of a group with the smallest weighted error of rounding to nearest.

Axes: K inner, N columns, G groups, S rows of a group.
"""

import numpy as np
from numpy.typing import NDArray

from graph_ir.compression.grid import F32, Grid, grouped
from graph_ir.compression.methods.rtn import range_of_groups, usable_scale

SMALLEST, LARGEST = 0.6, 1.1
"""Candidates lie between these shares of the range that holds a whole group."""


def searched_range(
    weight_KN: F32, grid: Grid, importance_K: NDArray[np.float32], steps: int
) -> tuple[NDArray[np.float16], NDArray[np.uint8] | None]:
    """Scales and zero points `[G, N]` out of a line of candidates.

    Args:
        weight_KN: to quantize.
        grid: of the integers.
        importance_K: weight of a row's squared error.
        steps: how many candidates; the extremes decide where 0. On a symmetric grid every
            candidate is tried with both signs.
    """
    scale_GN, zero_GN = range_of_groups(weight_KN, grid)
    if not steps:
        return scale_GN, zero_GN
    groups_GSN = grouped(weight_KN, grid.group)
    inner = len(importance_K)
    importance_GS1 = grouped(importance_K[:, None].astype(np.float32), grid.group)
    assert importance_GS1.shape[0] * grid.group >= inner
    best = _error(groups_GSN, grid, scale_GN, zero_GN, importance_GS1)
    low_GN = np.minimum(groups_GSN.min(axis=1), 0)
    widest_GN = scale_GN.astype(np.float32)
    for share in np.linspace(SMALLEST, LARGEST, steps, dtype=np.float32):
        for sign in (1, -1) if grid.symmetric else (1,):
            candidate_GN = usable_scale(widest_GN * share * np.float32(sign))
            zeros_GN = None
            if zero_GN is not None:
                exact_GN = np.rint(-low_GN * share / candidate_GN.astype(np.float32))
                zeros_GN = np.clip(exact_GN, 0, grid.highest).astype(np.uint8)
            error_GN = _error(groups_GSN, grid, candidate_GN, zeros_GN, importance_GS1)
            better_GN = error_GN < best
            best = np.where(better_GN, error_GN, best)
            scale_GN = np.where(better_GN, candidate_GN, scale_GN)
            if zero_GN is not None and zeros_GN is not None:
                zero_GN = np.where(better_GN, zeros_GN, zero_GN)
    return scale_GN, zero_GN


def _error(
    groups_GSN: F32,
    grid: Grid,
    scale_GN: NDArray[np.float16],
    zero_GN: NDArray[np.uint8] | None,
    importance_GS1: F32,
) -> F32:
    """Weighted square error of rounding, `[G, N]`."""
    wide_G1N = scale_GN.astype(np.float32)[:, None]
    steps_GSN = groups_GSN / wide_G1N
    if zero_GN is None:
        levels_GSN = np.clip(np.rint(steps_GSN), grid.lowest, grid.highest)
    else:
        zero_G1N = zero_GN.astype(np.float32)[:, None]
        levels_GSN = np.clip(np.rint(steps_GSN + zero_G1N), grid.lowest, grid.highest) - zero_G1N
    np.subtract(steps_GSN, levels_GSN, out=levels_GSN)
    np.square(levels_GSN, out=levels_GSN)
    error_GN: F32 = (levels_GSN * importance_GS1).sum(axis=1) * np.square(wide_G1N[:, 0])
    return error_GN
