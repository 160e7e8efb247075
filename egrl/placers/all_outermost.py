"""`all-outermost`: everything in the outermost tier, the plan of a compiler that does nothing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.constructive import ConstructivePlacer
from egrl.placers.decoder import Decoder


@dataclass(frozen=True, slots=True)
class AllOutermost(ConstructivePlacer):
    """Every tensor, in workload order, in the outermost allowed home in which it fits."""

    def homes(self, problem: PlacementProblem, decoder: Decoder) -> NDArray[np.int8]:
        """See `ConstructivePlacer.homes`."""
        choices_TH = np.full(problem.allowed_TH.shape, -1, np.int8)
        for t, allowed_H in enumerate(problem.allowed_TH):
            homes = np.flatnonzero(allowed_H)
            choices_TH[t, : len(homes)] = homes
        return decoder.decode(decoder.free, choices_TH)
