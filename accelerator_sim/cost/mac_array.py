"""Cycles of the matrix unit for a matrix product, edge tiles included.

Dot-product grid (NNP-I's 32x32x4, Ethos-U's 2x2x8x8): `ceil(M/rows) * ceil(N/columns) *
ceil(K/depth)`. Systolic arrays of R x C cells (SCALE-Sim's closed forms, exact for its v3):

    weight-stationary: ceil(K/R) * ceil(N/C) * (2R + C + M - 2) - 1
    output-stationary: ceil(M/R) * ceil(N/C) * (R + C + K - 2) - 1
    input-stationary:  ceil(K/R) * ceil(M/C) * (2R + C + N - 2) - 1

With `weight_double_buffer` a fold of the weight-stationary array lasts max(M, R) cycles, since the
next weights load behind the moving rows, and a convolution is lowered kernel position by position
(ONNXim).
"""

from accelerator_sim.accelerator import MacArray
from graph_ir.errors import InputError
from graph_ir.workload import MacWork


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def array_cycles(array: MacArray, work: MacWork) -> float:
    """Cycles that one core's array needs for one `MacWork`.

    Args:
        array: the matrix unit.
        work: the products, with the extents that this core computes.

    Raises:
        InputError: the array has no rate for the work's types.
    """
    rate = relative_rate(array, work.left_type, work.right_type)
    if array.dataflow == "dot-grid":
        return _dot_grid_cycles(array, work, rate)
    return work.batch * _systolic_cycles(array, work) / rate


def relative_rate(array: MacArray, left_type: str, right_type: str) -> float:
    """Multiply-accumulates a cycle relative to the array's full rate.

    Raises:
        InputError: the pair has no rate.
    """
    pair = f"{left_type}*{right_type}"
    quantity = array.relative_rate.get(pair)
    if quantity is None:
        known = ", ".join(sorted(array.relative_rate))
        raise InputError(f"data types: the matrix unit has no rate for {pair}; it has {known}")
    return quantity.value


def _dot_grid_cycles(array: MacArray, work: MacWork, rate: float) -> float:
    depth = array.depth * rate
    if work.depthwise:
        # No input channels to reduce over: one product per output and cycle, channels take the
        # grid's columns.
        reductions = work.inner / min(1.0, depth)
        tiles = _ceil_div(work.rows, array.rows) * _ceil_div(
            work.batch * work.columns, array.columns
        )
        return tiles * reductions
    reductions = float(_ceil_div(work.inner, int(depth))) if depth >= 1 else work.inner / depth
    tiles = _ceil_div(work.rows, array.rows) * _ceil_div(work.columns, array.columns)
    return work.batch * tiles * reductions


def _systolic_cycles(array: MacArray, work: MacWork) -> float:
    rows, columns = array.rows, array.columns
    m, k, n = work.rows, work.inner, work.columns
    if array.dataflow == "weight-stationary":
        if array.weight_double_buffer:
            positions = work.kernel_positions
            folds = positions * _ceil_div(k // positions, rows) * _ceil_div(n, columns)
            return folds * max(m, rows) + rows + columns - 2
        return _ceil_div(k, rows) * _ceil_div(n, columns) * (2 * rows + columns + m - 2) - 1
    if array.dataflow == "output-stationary":
        return _ceil_div(m, rows) * _ceil_div(n, columns) * (rows + columns + k - 2) - 1
    return _ceil_div(k, rows) * _ceil_div(m, columns) * (2 * rows + columns + n - 2) - 1
