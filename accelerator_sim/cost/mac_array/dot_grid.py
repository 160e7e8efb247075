"""Dot-product grids: NNP-I's 32 x 32 x 4, for example."""

from accelerator_sim.cost.mac_array.rates import ceil_div
from accelerator_sim.mac_array import DotGrid
from graph_ir.workload import MacWork


def dot_grid_cycles(array: DotGrid, work: MacWork, rate: float) -> float:
    """Cycles of all products: `ceil(M/rows) * ceil(N/columns) * ceil(K/depth)` each.

    Args:
        array: the grid.
        work: the products.
        rate: relative to the full rate; it widens or narrows the depth.
    """
    depth = array.depth * rate
    if work.depthwise:
        # No input channels to reduce over: one product per output and cycle, channels take the
        # grid's columns.
        reductions = work.inner / min(1.0, depth)
        tiles = ceil_div(work.rows, array.rows) * ceil_div(work.batch * work.columns, array.columns)
        return tiles * reductions
    reductions = float(ceil_div(work.inner, int(depth))) if depth >= 1 else work.inner / depth
    tiles = ceil_div(work.rows, array.rows) * ceil_div(work.columns, array.columns)
    return work.batch * tiles * reductions
