"""A low packing where none fits the capacity: what capacity would do?"""

from collections.abc import Sequence
from dataclasses import replace

from accelerator_sim.allocate.buffers import Allocation, Buffer
from accelerator_sim.allocate.solve import allocate

_ROUNDS = 6


def lowest_found(
    buffers: Sequence[Buffer], known: Allocation, capacity_bytes: int, node_budget: int
) -> Allocation:
    """Search for packings that are lower than a known one, halving what is in question.

    Args:
        buffers: those of `known`.
        known: an allocation that does not fit `capacity_bytes`.
        capacity_bytes: which was too small, proven or not.
        node_budget: in all.

    Returns:
        The lowest allocation found. Its bound and flags are those of `known`, and `nodes`
        counts on from it.
    """
    best = known
    nodes = 0
    low = max(known.lower_bound_bytes, capacity_bytes + 1)
    for _ in range(_ROUNDS):
        if low >= best.height_bytes:
            break
        middle = (low + best.height_bytes) // 2
        found = allocate(buffers, middle, node_budget // _ROUNDS)
        nodes += found.nodes
        if found.feasible:
            best = found
        else:
            low = middle + 1
    return replace(
        known,
        offsets=best.offsets,
        height_bytes=best.height_bytes,
        nodes=known.nodes + nodes,
    )
