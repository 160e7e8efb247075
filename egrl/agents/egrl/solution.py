"""A good solution of a training problem, and what leaving it would cost.

Axis letters: T tensors, H homes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.live import overflow
from accelerator_sim.incremental.moves import build_state, set_home
from accelerator_sim.incremental.retime import forget, retime
from accelerator_sim.incremental.state import State, Tables
from accelerator_sim.problem import PlacementProblem
from egrl.placers.base import Budget
from egrl.placers.decoder import Decoder
from egrl.placers.guided import Guided

F64 = NDArray[np.float64]
I8 = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Solution:
    """The best placement that a short search found.

    Attributes:
        homes_T: int8.
        latency_s: of it.
        regret_TH: seconds that moving one tensor there would add, whether or not it fits; infinite
            where the tensor may not live.
        fits_TH: whether that move alone fits.
    """

    homes_T: I8
    latency_s: float
    regret_TH: F64
    fits_TH: NDArray[np.bool_]


def solve(
    problem: PlacementProblem,
    decoder: Decoder,
    start_T: I8 | None,
    evaluations: int,
    rng: np.random.Generator,
) -> Solution:
    """Search for a good placement and try every single move from it.

    Args:
        problem: the problem.
        decoder: of the problem.
        start_T: int8, where to begin, or None for the greedy placements.
        evaluations: of the search.
        rng: source of all randomness.

    Raises:
        UnmetRequirementError: nothing feasible was found.
    """
    found = Guided(start_T=start_T).place(problem, Budget(evaluations=evaluations), rng)
    return solution_of(decoder, found.homes_T)


def solution_of(decoder: Decoder, homes_T: I8) -> Solution:
    """A placement with the regret of every single move from it."""
    state = build_state(decoder.tables, homes_T)
    regret_TH = np.full(decoder.tables.allowed_TH.shape, np.inf)
    fits_TH = np.zeros(regret_TH.shape, np.bool_)
    latency_s = float(_try_moves(decoder.tables, state, regret_TH, fits_TH))
    return Solution(homes_T.copy(), latency_s, regret_TH, fits_TH)


@compiled
def _try_moves(tables: Tables, state: State, regret_TH: F64, fits_TH: NDArray[np.bool_]) -> float:
    latency_s = retime(tables, state)
    for t in range(regret_TH.shape[0]):
        home = state.homes_T[t]
        for h in range(regret_TH.shape[1]):
            if not tables.allowed_TH[t, h]:
                continue
            if h == home:
                regret_TH[t, h] = 0.0
                fits_TH[t, h] = True
                continue
            set_home(tables, state, t, h)
            fits_TH[t, h] = overflow(tables, state) <= 0
            regret_TH[t, h] = retime(tables, state) - latency_s
            set_home(tables, state, t, home)
            forget(state)
    return float(latency_s)
