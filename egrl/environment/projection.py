"""From what an agent says to what the engine wants: a choice per op and slot, a home per tensor.

Axis letters: P maps, N ops, S the two slots of an op (weights, then outputs), T tensors, H homes.

A *map* gives each op one home for its weights (and states) and one for its outputs (and scratch).
A tensor takes the choice of the first op that uses it, so a tied weight follows its first op, and
all weights of an op go together. A tensor that may not live in the home chosen goes to another home
of that tier that it may have, else to the nearest tier further out, else to its outermost home:
what is fixed (inputs, outputs, views, pins) is not the agent's to choose and costs it nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import Rectifier
from egrl.placers.greedy_dp import op_slots

I8 = NDArray[np.int8]
SLOTS = 2
WEIGHTS, OUTPUTS = 0, 1


@dataclass(frozen=True, slots=True)
class Projection:
    """How maps become placements.

    Attributes:
        slot_T: int64, index into a flattened map (op times 2 plus slot), or -1 for a tensor that
            no slot governs.
        lands_TH: int8, home of each tensor under each choice.
        fixed_T: int8, home of the tensors that no slot governs.
    """

    slot_T: NDArray[np.int64]
    lands_TH: I8
    fixed_T: I8

    def homes(self, maps_PNS: I8) -> I8:
        """The placements of P maps: int8, [P, T]."""
        flat_PC = maps_PNS.reshape(len(maps_PNS), -1)
        choice_PT = flat_PC[:, np.maximum(self.slot_T, 0)]
        landed_PT = self.lands_TH[np.arange(len(self.slot_T)), choice_PT]
        homes_PT: I8 = np.where(self.slot_T >= 0, landed_PT, self.fixed_T).astype(np.int8)
        return homes_PT


def build_projection(problem: PlacementProblem, rectifier: Rectifier) -> Projection:
    """The projection of a problem."""
    slot_T = np.full(problem.tensor_count, -1, np.int64)
    for op, (weights, outputs) in enumerate(op_slots(problem)):
        slot_T[weights] = op * SLOTS + WEIGHTS
        slot_T[outputs] = op * SLOTS + OUTPUTS
    fixed_T = problem.allowed_TH.argmax(axis=1).astype(np.int8)
    return Projection(slot_T, _landings(problem, rectifier), fixed_T)


def _landings(problem: PlacementProblem, rectifier: Rectifier) -> I8:
    tier_H = problem.arrays.tier_H
    lands_TH = np.empty(problem.allowed_TH.shape, np.int8)
    for t, allowed_H in enumerate(problem.allowed_TH):
        for home in range(len(tier_H)):
            same = np.flatnonzero(allowed_H & (tier_H == tier_H[home]))
            further = int(rectifier.outward_TH[t, home])
            if allowed_H[home]:
                lands_TH[t, home] = home
            elif len(same):
                lands_TH[t, home] = same[0]
            else:
                lands_TH[t, home] = further if further >= 0 else int(allowed_H.argmax())
    return lands_TH
