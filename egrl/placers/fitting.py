"""Live bytes per tier while a placement is built up: does a tensor fit over its whole lifetime?

Tensors that live from the first op to the last are counted in `resident_L`, the others in
`live_LN`, whose highest value per tier `peak_L` holds. Tensors are only ever added.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled


class Occupancy(NamedTuple):
    """What is placed so far (L tiers, N ops), in bytes."""

    live_LN: NDArray[np.int64]
    peak_L: NDArray[np.int64]
    resident_L: NDArray[np.int64]


def empty_occupancy(tier_count: int, op_count: int) -> Occupancy:
    """Nothing placed."""
    return Occupancy(
        np.zeros((tier_count, op_count), np.int64),
        np.zeros(tier_count, np.int64),
        np.zeros(tier_count, np.int64),
    )


@compiled
def clear(occupancy: Occupancy) -> None:
    """Take everything out again."""
    occupancy.live_LN[:] = 0
    occupancy.peak_L[:] = 0
    occupancy.resident_L[:] = 0


@compiled
def fits(
    occupancy: Occupancy, tier: int, start: int, end: int, size: int, capacity_bytes: int
) -> bool:
    """Whether `size` bytes fit into a tier at every op of `[start, end)`."""
    room = capacity_bytes - occupancy.resident_L[tier] - size
    if occupancy.peak_L[tier] <= room:
        return True
    if end - start == occupancy.live_LN.shape[1]:
        return False
    for i in range(start, end):
        if occupancy.live_LN[tier, i] > room:
            return False
    # Nothing may live at the ops in question, and yet the residents alone be too many.
    return bool(room >= 0)


@compiled
def occupy(occupancy: Occupancy, tier: int, start: int, end: int, size: int) -> None:
    """Place `size` bytes in a tier over `[start, end)`."""
    if end - start == occupancy.live_LN.shape[1]:
        occupancy.resident_L[tier] += size
        return
    for i in range(start, end):
        occupancy.live_LN[tier, i] += size
        occupancy.peak_L[tier] = max(occupancy.peak_L[tier], occupancy.live_LN[tier, i])
