"""Sums and extremes over the lifetimes of tensors, in time linear in ops.

Axis letters: T tensors, N ops, L tiers.
"""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def span_mean_LT(value_LN: F64, start_T: I64, end_T: I64) -> F64:
    """Mean of each row over `[start, end)` of every tensor; 0 over an empty one."""
    summed_LM = np.concatenate([np.zeros((len(value_LN), 1)), value_LN.cumsum(axis=1)], axis=1)
    mean_LT: F64 = (summed_LM[:, end_T] - summed_LM[:, start_T]) / np.maximum(1, end_T - start_T)
    return mean_LT


def span_max_LT(value_LN: F64, start_T: I64, end_T: I64) -> F64:
    """Highest value of each row over `[start, end)` of every tensor; 0 over an empty one.

    By a table of the maxima of spans whose length is a power of two.
    """
    rows, ops = value_LN.shape
    levels = max(1, int(ops).bit_length())
    table_JLN = np.zeros((levels, rows, ops))
    table_JLN[0] = value_LN
    for j in range(1, levels):
        half = 1 << (j - 1)
        table_JLN[j] = table_JLN[j - 1]
        if half < ops:
            table_JLN[j, :, :-half] = np.maximum(
                table_JLN[j - 1, :, :-half], table_JLN[j - 1, :, half:]
            )
    found_LT: F64 = _look_up(table_JLN, start_T, end_T)
    return found_LT


@compiled
def _look_up(table_JLN: F64, start_T: I64, end_T: I64) -> F64:
    found_LT = np.zeros((table_JLN.shape[1], start_T.shape[0]))
    for t in range(start_T.shape[0]):
        length = end_T[t] - start_T[t]
        if length <= 0:
            continue
        level = 0
        while (2 << level) <= length:
            level += 1
        for k in range(table_JLN.shape[1]):
            found_LT[k, t] = max(
                table_JLN[level, k, start_T[t]], table_JLN[level, k, end_T[t] - (1 << level)]
            )
    return found_LT
