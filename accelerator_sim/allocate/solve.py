"""Offsets for buffers in one memory: greedy orders first, exact search where they do not fit."""

from collections.abc import Sequence

import numpy as np

from accelerator_sim.allocate.buffers import Allocation, Buffer
from accelerator_sim.allocate.first_fit import Fitter
from accelerator_sim.allocate.orders import ORDERS
from accelerator_sim.allocate.problem import LIMIT_BYTES, Ints, PackingProblem, arrays_of, pack
from accelerator_sim.allocate.search import search

DEFAULT_NODE_BUDGET = 200_000


def allocate(
    buffers: Sequence[Buffer], capacity_bytes: int, node_budget: int = DEFAULT_NODE_BUDGET
) -> Allocation:
    """Give every buffer an offset such that no two that are live together overlap.

    The same buffers give the same offsets, whatever the machine or its load: the search is
    bounded by nodes, not by time.

    Args:
        buffers: in any order.
        capacity_bytes: no buffer may end above it.
        node_budget: placements that the exact search may try; 0 for greedy orders only.

    Raises:
        ValueError: a buffer with an empty lifetime, a negative size or an alignment below 1;
            more than 2^60 bytes in all.
    """
    lower, upper, size, alignment = arrays_of(buffers)
    return allocate_arrays(lower, upper, size, alignment, capacity_bytes, node_budget)


def allocate_arrays(
    lower: Ints,
    upper: Ints,
    size_bytes: Ints,
    alignment_bytes: Ints,
    capacity_bytes: int,
    node_budget: int = DEFAULT_NODE_BUDGET,
) -> Allocation:
    """As `allocate`, for callers that hold arrays and call it in a loop.

    Args:
        lower: int64, first time of each buffer (axis N).
        upper: int64, one past its last time, above `lower`.
        size_bytes: int64, 0 or more.
        alignment_bytes: int64, 1 or more.
        capacity_bytes: no buffer may end above it.
        node_budget: as in `allocate`.
    """
    capacity_bytes = min(capacity_bytes, LIMIT_BYTES)
    some = np.flatnonzero(size_bytes)
    offsets = np.zeros(len(size_bytes), np.int64)
    if not len(some):
        return Allocation(tuple(offsets.tolist()), 0, 0, capacity_bytes >= 0, False)
    size = size_bytes[some]
    alignment = alignment_bytes[some]
    problem = pack(lower[some], upper[some], size, alignment, capacity_bytes)
    unit = int(np.gcd.reduce(alignment))
    bound = _lower_bound(problem, size, unit)

    packed, height = _greedy(problem, size, unit, capacity_bytes, thorough=bound <= capacity_bytes)
    exhausted = False
    nodes = 0
    if bound <= capacity_bytes < height:
        result = search(problem, node_budget)
        nodes = result.nodes
        if result.status == "found":
            packed = result.offsets
            height = int((packed * unit + size).max())
        elif result.status == "infeasible":
            bound = max(bound, capacity_bytes + 1)
        else:
            exhausted = True
    offsets[some] = packed * unit
    return Allocation(
        offsets=tuple(offsets.tolist()),
        height_bytes=height,
        lower_bound_bytes=bound,
        feasible=height <= capacity_bytes,
        exhausted=exhausted,
        nodes=nodes,
    )


def _most_live(problem: PackingProblem, amount: Ints) -> int:
    """The largest sum over the buffers of one section."""
    change = np.zeros(problem.sections + 1, np.int64)
    np.add.at(change, problem.first, amount)
    np.subtract.at(change, problem.last, amount)
    return int(np.cumsum(change).max())


def _lower_bound(problem: PackingProblem, size: Ints, unit: int) -> int:
    """Bytes that any packing needs: in a section, all sizes but the topmost are rounded up."""
    rounding = problem.size * unit - size
    rounded = _most_live(problem, problem.size) * unit - int(rounding.max())
    return max(rounded, _most_live(problem, size))


def _greedy(
    problem: PackingProblem, size: Ints, unit: int, capacity_bytes: int, thorough: bool
) -> tuple[Ints, int]:
    """The lowest packing of several greedy orders, or the first that fits.

    Buffers that live the whole time are stacked at the bottom: they constrain all others alike.
    """
    whole = (problem.first == 0) & (problem.last == problem.sections)
    bottom = np.flatnonzero(whole)
    rest = np.flatnonzero(~whole)
    # Falling alignment leaves the fewest holes in the stack.
    bottom = bottom[np.lexsort((bottom, -problem.alignment[bottom]))]
    base_offsets = np.zeros(len(size), np.int64)
    top = 0
    if (problem.alignment[bottom] == 1).all():
        ends = np.cumsum(problem.size[bottom])
        base_offsets[bottom] = ends - problem.size[bottom]
        top = int(ends[-1]) if len(ends) else 0
    else:
        for j in bottom:
            a = int(problem.alignment[j])
            base_offsets[j] = -(-top // a) * a
            top = int(base_offsets[j] + problem.size[j])
    coarsest = int(problem.alignment[rest].max(initial=1))
    top = -(-top // coarsest) * coarsest
    upper = problem.part(rest, top)
    fitter = Fitter(upper)
    best = base_offsets
    height = -1
    for order_of in ORDERS.values() if len(rest) else ():
        order = order_of(upper)
        for tightest in (False, True):
            packed = base_offsets.copy()
            packed[rest] = fitter.fit(order, tightest) + top
            reached = int((packed * unit + size).max())
            if height < 0 or reached < height:
                best, height = packed, reached
            if height <= capacity_bytes or not thorough:
                return best, height
    if height < 0:
        height = int((best * unit + size).max())
    return best, height
