"""How long the port of a dot grid takes to feed it, for the better of two orders of its tiles.

A step of the grid is a tile of rows x columns outputs that sums `depth` products. Every step reads
its left factor. What else passes the port depends on the order:

- sums stay: the innermost loop runs over K, so a tile of results is written once; weights are read
  at every step, or once for each tile of columns where the registers keep all of K;
- weights stay: as many tiles of K as the registers keep (at least one) are held while all rows pass
  by; the sums of each such pass but a single one are read and written.

Where one step sums all of K, finished results are collected in the sums' registers and written
several at a time. Weights of the first tile and results of the last one are not counted: they move
while the neighbouring ops run.
"""

from dataclasses import dataclass

from accelerator_sim.cost.mac_array.rates import ceil_div
from accelerator_sim.mac_array import OperandPort


@dataclass(frozen=True, slots=True)
class GridTiles:
    """One product, cut into steps of a grid.

    Attributes:
        row_tiles: tiles of M.
        column_tiles: tiles of N.
        inner_tiles: tiles of K.
        outputs: of one full tile.
        left_bytes: that one step reads.
        weight_bytes: of one tile of weights.
        result_bytes: of one finished output.
    """

    row_tiles: int
    column_tiles: int
    inner_tiles: int
    outputs: int
    left_bytes: int
    weight_bytes: int
    result_bytes: int


def port_cycles(port: OperandPort, tiles: GridTiles, products: int) -> int:
    """Cycles that the port is busy for some products of the same shape.

    Args:
        port: of the grid.
        tiles: of one product.
        products: how many there are.
    """

    def accesses(size_bytes: int) -> int:
        return max(1, ceil_div(size_bytes, int(port.bytes_per_cycle.value)))

    steps = tiles.row_tiles * tiles.column_tiles * tiles.inner_tiles
    weight_steps = tiles.column_tiles * tiles.inner_tiles
    weights = accesses(tiles.weight_bytes)
    held = min(tiles.inner_tiles, max(1, port.weight_tiles))

    collected = 1
    if tiles.inner_tiles == 1:
        collected = max(1, min(tiles.row_tiles, port.accumulator_bytes // tiles.result_bytes))
    last = accesses(collected * tiles.outputs * tiles.result_bytes)
    results = ceil_div(tiles.row_tiles, collected) * tiles.column_tiles * last

    keeps_all = tiles.inner_tiles <= max(1, port.weight_tiles)
    sums_stay = (weight_steps if keeps_all else steps) * weights + results
    weights_stay = weight_steps * weights + results
    if held < tiles.inner_tiles:
        passes = tiles.row_tiles * tiles.column_tiles * ceil_div(tiles.inner_tiles, held)
        weights_stay = weight_steps * weights + (
            2 * passes * accesses(tiles.outputs * port.accumulator_bytes)
        )
    moved = products * (steps * accesses(tiles.left_bytes) + min(sums_stay, weights_stay))
    return max(0, moved - held * weights - last)
