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
        t, home = np.nonzero(problem.allowed_TH)
        # Homes are listed from the outermost tier to the innermost.
        choices_TH[t, np.cumsum(problem.allowed_TH, axis=1)[t, home] - 1] = home
        return decoder.decode(decoder.free, choices_TH)
