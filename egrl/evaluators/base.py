"""What every machine behind a search is: placements in, seconds out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Evaluator(Protocol):
    """Measures placements."""

    def measure(self, homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
        """Latency of P placements that fit (axis T: the problem's tensors).

        Args:
            homes_PT: int8, an allowed home for every tensor of every placement.

        Returns:
            float64, seconds, positive; NaN where measuring failed.
        """
