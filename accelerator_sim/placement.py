"""A placement: one home for every tensor."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Placement:
    """One home per tensor of a problem.

    Attributes:
        homes_T: int8, index into the problem's homes for each tensor (axis T: the problem's
            tensors in workload order). Aliased tensors repeat the home of their owner.
    """

    homes_T: NDArray[np.int8]
