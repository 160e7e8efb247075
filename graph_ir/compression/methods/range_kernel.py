"""The compiled part of the search for the ranges of groups.

For fixed integers q the scale with the smallest weighted error sum_k h_k (w_k - s q_k)^2 is
s = <q, w> / <q, q> (products weighted by h), where the gradient 2 <q, s q - w> vanishes, and the
error is <w, w> - <q, w>^2 / <q, q>. So a candidate scale costs one pass over the group: round with
it, and count its integers with their own best scale.

Axes: K inner, N columns, G groups; columns are worked on `LANES` at a time.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 128
_POLISHES = 2

F32 = NDArray[np.float32]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def search_ranges(
    weight_KN: F32,
    importance_K: F32,
    group: int,
    lowest: int,
    highest: int,
    shares: F32,
    scale_GN: F32,
    zero_GN: F32,
) -> None:
    """Best scale, and zero point on an asymmetric grid, of every group.

    Args:
        weight_KN: in C order.
        importance_K: h, positive.
        group: rows of a group.
        lowest: integer; below 0 on a symmetric grid, whose zero points stay 0.
        highest: integer.
        shares: of the range that just holds the group.
        scale_GN: out; 0 where a group is all zeros.
        zero_GN: out.
    """
    inner, columns = weight_KN.shape
    low, high = np.float32(lowest), np.float32(highest)
    symmetric = lowest < 0
    minimum, maximum = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    gain, scale, zero = (
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
    )
    step, offset = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    down, up = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    along, square = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    turns = 2 if symmetric else 3
    for g in range(scale_GN.shape[0]):
        first, last = g * group, min((g + 1) * group, inner)
        for start in range(0, columns, LANES):
            lanes = min(LANES, columns - start)
            minimum[:] = 0
            maximum[:] = 0
            gain[:] = 0
            scale[:] = 0
            zero[:] = 0
            for k in range(first, last):
                for j in range(lanes):
                    minimum[j] = min(minimum[j], weight_KN[k, start + j])
                    maximum[j] = max(maximum[j], weight_KN[k, start + j])
            for candidate in range(turns * len(shares) + _POLISHES):
                turn, at = candidate // len(shares), candidate % len(shares)
                polish = candidate >= turns * len(shares)
                for j in range(lanes):
                    if polish:
                        width, middle = scale[j], zero[j]
                    elif symmetric:
                        # The extreme becomes the lowest integer, or the highest.
                        extreme = maximum[j] if maximum[j] > -minimum[j] else minimum[j]
                        width = shares[at] * extreme / (low if turn == 0 else high)
                        middle = np.float32(0)
                    else:
                        width = shares[at] * (maximum[j] - minimum[j]) / high
                        middle = np.float32(0.5) * (
                            high - (minimum[j] + maximum[j]) / width if width > 0 else high
                        )
                        middle = np.rint(middle + np.float32(turn - 1))
                        middle = min(max(middle, low), high)
                    step[j] = np.float32(1) / width if width != 0 else np.float32(0)
                    offset[j] = middle
                    down[j], up[j] = low - middle, high - middle
                    along[j] = 0
                    square[j] = 0
                for k in range(first, last):
                    importance = importance_K[k]
                    for j in range(lanes):
                        weight = weight_KN[k, start + j]
                        level = min(max(np.rint(weight * step[j]), down[j]), up[j])
                        along[j] += importance * level * weight
                        square[j] += importance * level * level
                for j in range(lanes):
                    if square[j] > 0:
                        value = along[j] * along[j] / square[j]
                        if value > gain[j]:
                            gain[j], zero[j] = value, offset[j]
                            scale[j] = along[j] / square[j]
            for j in range(lanes):
                scale_GN[g, start + j] = scale[j]
                zero_GN[g, start + j] = zero[j]
