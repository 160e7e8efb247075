"""The placement that rewards and measured speed-ups refer to."""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.all_outermost import AllOutermost
from egrl.placers.base import Budget
from egrl.placers.decoder import build_decoder
from egrl.placers.native import Native
from graph_ir.errors import UnmetRequirementError


def reference_placement(problem: PlacementProblem) -> tuple[str, NDArray[np.int8]]:
    """`native`, or everything outermost where that finds nothing that fits: name and homes."""
    try:
        homes_T = Native().place(problem, Budget(), np.random.default_rng(0)).homes_T
    except UnmetRequirementError:
        return "all-outermost", AllOutermost().homes(problem, build_decoder(problem))
    return "native", homes_T
