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
    outermost_T = outermost_homes(problem)
    keys: list[tuple[float, int]] = []
    for t in decoder.free.tolist():
        tensor = problem.workload.tensors[t]
        outermost = int(outermost_T[t])
        densities = [
            decoder.values.saved_s(t, home, outermost)
            / max(1, int(problem.arrays.size_bytes_TH[t, home]) * (tensor.end - tensor.start))
            for home in np.flatnonzero(problem.allowed_TH[t]).tolist()
            if home != outermost
        ]
        keys.append((-max(densities), t))
    return np.array([t for _, t in sorted(keys)], np.int64)
