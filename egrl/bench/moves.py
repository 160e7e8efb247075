"""Random moves of single tensors, timed by the incremental evaluation."""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.live import overflow
from accelerator_sim.incremental.moves import set_home
from accelerator_sim.incremental.retime import forget, keep, retime
from accelerator_sim.incremental.state import State, Tables
from accelerator_sim.problem import PlacementProblem


def draw_moves(
    problem: PlacementProblem, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Tensor and home of `count` moves: a random free tensor to a random home that it may have."""
    tensors = rng.choice(problem.free_tensors, count)
    keys = rng.random((count, problem.allowed_TH.shape[1]))
    keys[~problem.allowed_TH[tensors]] = -1.0
    return np.stack([tensors, keys.argmax(axis=1)], axis=1).astype(np.int64)


@compiled
def try_moves(tables: Tables, state: State, move_MF: NDArray[np.int64]) -> float:
    """Propose every move, keep every other one and take the rest back; a checksum."""
    total = 0.0
    for m in range(move_MF.shape[0]):
        t = move_MF[m, 0]
        before = state.homes_T[t]
        set_home(tables, state, t, move_MF[m, 1])
        total += overflow(tables, state) + retime(tables, state)
        if m % 2 == 0:
            keep(state)
        else:
            set_home(tables, state, t, before)
            forget(state)
    return total
