"""What every precision of every product costs: error and bytes.

Axes: S products, P precisions (0 keeps the weight).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ChoiceCosts:
    """Costs of all choices.

    Attributes:
        ops_of_product: indices of the ops that execute each product.
        error_squared_SP: square of the relative error of the outputs with that product alone in
            that precision.
        bytes_SP: of its weight, scales and zero points.
        other_bytes: of weights that have no choice.
    """

    ops_of_product: tuple[tuple[int, ...], ...]
    error_squared_SP: F64
    bytes_SP: NDArray[np.int64]
    other_bytes: int

    def error(self, choice_S: Sequence[int]) -> float:
        """The sum of parts: root of the summed squares."""
        rows = np.arange(len(self.ops_of_product))
        return float(np.sqrt(self.error_squared_SP[rows, np.asarray(choice_S, np.int64)].sum()))

    def weight_bytes(self, choice_S: Sequence[int]) -> int:
        """Of all weights."""
        rows = np.arange(len(self.ops_of_product))
        return self.other_bytes + int(self.bytes_SP[rows, np.asarray(choice_S, np.int64)].sum())
