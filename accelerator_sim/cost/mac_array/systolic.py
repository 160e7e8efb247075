"""Systolic arrays of R x C cells: SCALE-Sim's closed forms, exact for its version 3.

    weight-stationary: ceil(K/R) * ceil(N/C) * (2R + C + M - 2) - 1
    output-stationary: ceil(M/R) * ceil(N/C) * (R + C + K - 2) - 1
    input-stationary:  ceil(K/R) * ceil(M/C) * (2R + C + N - 2) - 1

With `weight_double_buffer` a fold of the weight-stationary array lasts max(M, R) cycles, since the
next weights load behind the moving rows, and a convolution is lowered kernel position by position
(ONNXim).

A depthwise convolution runs as dense products with block-diagonal weights, one per group of as
many channels as the array has columns: all but the diagonal of what the array does is wasted.
"""

from dataclasses import replace

from accelerator_sim.cost.mac_array.rates import ceil_div
from accelerator_sim.mac_array import InputStationary, OutputStationary, WeightStationary
from graph_ir.workload import MacWork


def systolic_cycles(
    array: WeightStationary | OutputStationary | InputStationary, work: MacWork
) -> float:
    """Cycles of one product at the full rate."""
    rows, columns = array.rows, array.columns
    m, k, n = work.rows, work.inner, work.columns
    if isinstance(array, OutputStationary):
        return ceil_div(m, rows) * ceil_div(n, columns) * (rows + columns + k - 2) - 1
    if isinstance(array, InputStationary):
        return ceil_div(k, rows) * ceil_div(m, columns) * (2 * rows + columns + n - 2) - 1
    if array.weight_double_buffer:
        positions = work.kernel_positions
        folds = positions * ceil_div(k // positions, rows) * ceil_div(n, columns)
        return folds * max(m, rows) + rows + columns - 2
    return ceil_div(k, rows) * ceil_div(n, columns) * (2 * rows + columns + m - 2) - 1


def dense_blocks(
    array: WeightStationary | OutputStationary | InputStationary, work: MacWork
) -> MacWork:
    """A depthwise convolution as the dense products that the array executes; others unchanged."""
    if not work.depthwise:
        return work
    channels = work.batch * work.columns
    width = min(channels, array.columns)
    return replace(
        work,
        batch=ceil_div(channels, width),
        inner=work.inner * width,
        columns=width,
        depthwise=False,
    )
