"""Dot-product grids: NNP-I's 32 x 32 x 4, for example."""

from accelerator_sim.cost.mac_array.operand_port import GridTiles, port_cycles
from accelerator_sim.cost.mac_array.rates import ceil_div
from accelerator_sim.mac_array import DotGrid
from graph_ir.datatypes import stored_bytes
from graph_ir.workload import MacWork


def dot_grid_cycles(array: DotGrid, work: MacWork, rate: float) -> float:
    """Cycles of all products: `ceil(M/rows) * ceil(N/columns) * ceil(K/depth)` each.

    With an operand port the grid waits for it where the port takes longer.

    Args:
        array: the grid.
        work: the products.
        rate: relative to the full rate; it widens or narrows the depth.
    """
    depth = array.depth * rate
    products, columns = work.batch, work.columns
    if work.depthwise:
        # No input channels to reduce over: one product per output and cycle, channels take the
        # grid's columns.
        depth = min(1.0, depth)
        products, columns = 1, work.batch * work.columns
    reductions = float(ceil_div(work.inner, int(depth))) if depth >= 1 else work.inner / depth
    tiles = ceil_div(work.rows, array.rows) * ceil_div(columns, array.columns)
    busy = products * tiles * reductions
    if array.operand_port is None:
        return busy
    return max(busy, port_cycles(array.operand_port, _tiles(array, work, columns, depth), products))


def _tiles(array: DotGrid, work: MacWork, columns: int, depth: float) -> GridTiles:
    rows, width = min(array.rows, work.rows), min(array.columns, columns)
    products = min(work.inner, max(1, int(depth)))
    # In a depthwise convolution every output has a left factor of its own.
    left = rows * (width if work.depthwise else products)
    return GridTiles(
        row_tiles=ceil_div(work.rows, array.rows),
        column_tiles=ceil_div(columns, array.columns),
        inner_tiles=ceil_div(work.inner, products),
        outputs=rows * width,
        left_bytes=stored_bytes((left,), work.left_type),
        weight_bytes=stored_bytes((width * products,), work.right_type),
        result_bytes=stored_bytes((1,), work.left_type),
    )
