"""`acts-first`: one sort, no search; activations before weights.

Activations and scratch go in by rising size, since many small buffers share the same bytes one
after another; then weights and states by falling density: the time that streaming them from the
outermost tier would not hide behind the rest of their ops, per byte of the innermost home. Each
goes into the innermost tier in which it fits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.constructive import ConstructivePlacer, fewest_bytes_first, outermost_homes
from egrl.placers.decoder import Decoder
from egrl.placers.native import RESIDENT_KINDS


@dataclass(frozen=True, slots=True)
class ActsFirst(ConstructivePlacer):
    """Activations by rising size, then weights by the stall that they would cause, per byte."""

    def homes(self, problem: PlacementProblem, decoder: Decoder) -> NDArray[np.int8]:
        """See `ConstructivePlacer.homes`."""
        return decoder.decode(acts_first_order(problem, decoder), fewest_bytes_first(problem))


def acts_first_order(problem: PlacementProblem, decoder: Decoder) -> NDArray[np.int64]:
    """The tensors that have a choice, in the order of the rule."""
    tensors, free = problem.workload.tensors, decoder.free
    resident_F = np.array([tensors[t].kind in RESIDENT_KINDS for t in free.tolist()], np.bool_)
    buffers, weights = free[~resident_F], free[resident_F]
    bytes_B = np.array([tensors[t].size_bytes for t in buffers.tolist()], np.int64)
    home_W = fewest_bytes_first(problem)[weights, 0]
    seconds_WH = decoder.values.seconds_TH[weights]
    places = np.arange(len(weights))
    stall_W = seconds_WH[places, outermost_homes(problem)[weights]] - seconds_WH[places, home_W]
    density_W = stall_W / np.maximum(1, problem.arrays.size_bytes_TH[weights, home_W])
    return np.concatenate(
        [
            buffers[np.lexsort((problem.arrays.start_T[buffers], bytes_B))],
            weights[np.argsort(-density_W, kind="stable")],
        ]
    )
