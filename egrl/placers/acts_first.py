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
    tensors = problem.workload.tensors
    choices_TH = fewest_bytes_first(problem)
    outermost_T = outermost_homes(problem)
    size_TH = problem.arrays.size_bytes_TH
    buffers: list[tuple[int, int, int]] = []
    weights: list[tuple[float, int]] = []
    for t in decoder.free.tolist():
        if tensors[t].kind not in RESIDENT_KINDS:
            buffers.append((tensors[t].size_bytes, tensors[t].start, t))
            continue
        home = int(choices_TH[t, 0])
        stall_s = decoder.values.saved_s(t, home, int(outermost_T[t]))
        weights.append((-stall_s / max(1, int(size_TH[t, home])), t))
    order = [t for _, _, t in sorted(buffers)] + [t for _, t in sorted(weights)]
    return np.array(order, np.int64)
