"""`greedy`: by benefit density, the way of memory space assignment in production compilers.

The benefit of a home is the time that the tensor saves there instead of in its outermost home
(`accelerator_sim/value.py`); its density is the benefit per byte and per op of the tensor's
lifetime, since that is the space in bytes and time that it takes. Tensors are placed by falling
density of their densest home, each in the innermost tier in which it fits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.constructive import ConstructivePlacer, fewest_bytes_first, outermost_homes
from egrl.placers.decoder import Decoder


@dataclass(frozen=True, slots=True)
class Greedy(ConstructivePlacer):
    """One pass by seconds saved per byte and op."""

    def homes(self, problem: PlacementProblem, decoder: Decoder) -> NDArray[np.int8]:
        """See `ConstructivePlacer.homes`."""
        return decoder.decode(density_order(problem, decoder), fewest_bytes_first(problem))


def density_order(problem: PlacementProblem, decoder: Decoder) -> NDArray[np.int64]:
    """The tensors that have a choice, by falling benefit density, then by index."""
    a, free = problem.arrays, decoder.free
    seconds_FH, outermost_F = decoder.values.seconds_TH[free], outermost_homes(problem)[free]
    places = np.arange(len(free))
    choice_FH = problem.allowed_TH[free]
    choice_FH[places, outermost_F] = False
    saved_FH = np.full(choice_FH.shape, -np.inf)
    np.subtract(seconds_FH[places, outermost_F][:, None], seconds_FH, saved_FH, where=choice_FH)
    space_FH = a.size_bytes_TH[free] * (a.end_T - a.start_T)[free, None]
    density_F = (saved_FH / np.maximum(1, space_FH)).max(axis=1)
    order: NDArray[np.int64] = free[np.argsort(-density_F, kind="stable")]
    return order
