"""A function of one placement as a machine."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LatencyOf = Callable[[NDArray[np.int8]], float]
"""Takes a placement (int8, a home per tensor) and returns its latency in seconds."""


class PerPlacementEvaluator:
    """Asks a function for one placement after another."""

    def __init__(self, latency_of: LatencyOf) -> None:
        self._latency_of = latency_of

    def measure(self, homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
        """See `Evaluator.measure`; what the function raises is the caller's to handle."""
        return np.array([self._latency_of(homes_T) for homes_T in homes_PT], np.float64)
