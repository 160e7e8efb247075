"""What it would cost to keep one tensor somewhere else, everything else staying where it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from accelerator_sim.incremental.live import overflow
from accelerator_sim.incremental.moves import reset, set_home
from accelerator_sim.incremental.retime import forget, retime
from accelerator_sim.incremental.state import build_tables, empty_state
from accelerator_sim.problem import PlacementProblem


@dataclass(frozen=True, slots=True)
class MoveCost:
    """A tensor in another home.

    Attributes:
        home: index of the home.
        seconds: latency with it there, minus the plan's latency.
        over_bytes: most live bytes over any tier's capacity with it there; 0 where it fits.
    """

    home: int
    seconds: float
    over_bytes: int


def move_costs(
    problem: PlacementProblem, homes: Sequence[int], tensors: Iterable[int]
) -> dict[int, list[MoveCost]]:
    """Simulate every other allowed home of each tensor.

    Only live bytes are checked for the moved tensor, not addresses.

    Args:
        problem: workload and accelerator.
        homes: home index of every tensor.
        tensors: indices of those to move.

    Returns:
        By tensor, its other homes from outermost to innermost; empty where it has none.
    """
    tables = build_tables(problem)
    state = empty_state(tables, np.array(homes, np.int8))
    latency_s = reset(tables, state)
    result: dict[int, list[MoveCost]] = {}
    for tensor in tensors:
        home = int(homes[tensor])
        costs = []
        for other in np.flatnonzero(problem.allowed_TH[tensor]).tolist():
            if other == home:
                continue
            set_home(tables, state, tensor, other)
            over_bytes = max(0, int(overflow(tables, state)))
            moved_s = float(retime(tables, state))
            set_home(tables, state, tensor, home)
            forget(state)
            costs.append(MoveCost(other, moved_s - latency_s, over_bytes))
        result[tensor] = costs
    return result
