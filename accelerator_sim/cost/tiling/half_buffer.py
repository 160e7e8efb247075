"""The usual two loop orders of a matrix product with one operand held in the tile buffer.

Half of the buffer holds a tile while the other half fills, and the operand that is not held passes
by once per tile.
"""

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.tiling.loop_order import LoopOrder, SharedOp, passes_of


def half_buffer_orders(shared: SharedOp, accelerator: Accelerator) -> list[LoopOrder]:
    """Both orders, or one where an operand fits."""
    op, products = shared.op, max(1, shared.work.batch)
    half_buffer = accelerator.tile_buffer_bytes.value / 2
    left_tiles = max(1, int(-(-shared.left_bytes / products // half_buffer)))
    right_tiles = max(1, int(-(-shared.right_bytes / products // half_buffer)))
    if left_tiles == 1 or right_tiles == 1:
        return [LoopOrder("single-pass", passes_of(op, 1, 1))]
    return [
        LoopOrder("left-held", passes_of(op, 1, left_tiles)),
        LoopOrder("right-held", passes_of(op, right_tiles, 1)),
    ]
