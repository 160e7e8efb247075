"""The engine as a machine: what every search asks that is given no other."""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate_batch
from accelerator_sim.problem import PlacementProblem


class EngineEvaluator:
    """The timeline engine."""

    def __init__(self, problem: PlacementProblem) -> None:
        self._problem = problem

    def measure(self, homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
        """See `Evaluator.measure`; the engine never fails."""
        return evaluate_batch(self._problem, homes_PT).latency_s_P
