"""Whom the engine's lost time is blamed on.

What an op takes longer than it would with everything in its ideal home is blamed on those of its
tensors that are elsewhere, in proportion to what each would save (`accelerator_sim/value.py`).
"""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.incremental.state import KEPT, TOTAL, State
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.value import TensorValues
from egrl.placers.session import Session

POOL = 2048
"""Entries of the pool that blame shares out, one more for every tensor."""


def blame_seconds_T(
    problem: PlacementProblem,
    values: TensorValues,
    state: State,
    ideal_N: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Seconds that each tensor's home costs, by the timeline of a placement.

    Args:
        problem: the problem.
        values: of its tensors.
        state: the placement and its timeline.
        ideal_N: seconds of every op with everything in its ideal home.
    """
    arrays = problem.arrays
    tensors = np.arange(len(state.homes_T))
    lost_N = np.maximum(0.0, np.diff(state.mark_SMF[KEPT, :, TOTAL]) - ideal_N)
    gain_T = values.seconds_TH[tensors, state.homes_T] - values.seconds_TH[tensors, values.ideal_T]
    gain_E = np.maximum(0.0, gain_T)[arrays.row_tensor_E]
    op_E = np.repeat(np.arange(len(ideal_N)), np.diff(arrays.row_start_N))
    gain_N = np.bincount(op_E, gain_E, len(ideal_N))
    share_E = np.divide(gain_E, gain_N[op_E], out=np.zeros_like(gain_E), where=gain_E > 0.0)
    return np.bincount(arrays.row_tensor_E, share_E * lost_N[op_E], len(tensors)).astype(np.float64)


def blamed_pool(
    session: Session, state: State, ideal_N: NDArray[np.float64], blamed_share: float
) -> NDArray[np.int64]:
    """Free tensors in proportion to their blame, and every one of them once.

    Args:
        session: the search.
        state: the placement and its timeline.
        ideal_N: seconds of every op with everything in its ideal home.
        blamed_share: of the entries that follow the blame; the others are the same for all.
    """
    free = session.free
    blame_T = blame_seconds_T(session.search.problem, session.decoder.values, state, ideal_N)
    total_s = float(blame_T[free].sum())
    if total_s <= 0.0:
        return free
    blamed = POOL * blamed_share / total_s * blame_T[free]
    rest = POOL * (1.0 - blamed_share) / len(free)
    pool: NDArray[np.int64] = np.repeat(free, 1 + np.floor(blamed + rest).astype(np.int64))
    return pool
