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
        alias_SP: the precision that each stands for, itself where it exists; None where all do.
    """

    ops_of_product: tuple[tuple[int, ...], ...]
    error_squared_SP: F64
    bytes_SP: NDArray[np.int64]
    other_bytes: int
    alias_SP: NDArray[np.int64] | None = None

    @property
    def stands_in_SP(self) -> NDArray[np.bool_]:
        """Where a product has not that precision, but another in its place."""
        if self.alias_SP is None:
            return np.zeros(self.error_squared_SP.shape, np.bool_)
        found_SP: NDArray[np.bool_] = self.alias_SP != np.arange(self.alias_SP.shape[1])
        return found_SP

    def real(self, choice_S: Sequence[int]) -> tuple[int, ...]:
        """A choice in precisions that its products have."""
        if self.alias_SP is None:
            return tuple(int(choice) for choice in choice_S)
        rows = np.arange(len(self.alias_SP))
        return tuple(self.alias_SP[rows, np.asarray(choice_S, np.int64)].tolist())

    def error(self, choice_S: Sequence[int]) -> float:
        """The sum of parts: root of the summed squares."""
        rows = np.arange(len(self.ops_of_product))
        return float(np.sqrt(self.error_squared_SP[rows, np.asarray(choice_S, np.int64)].sum()))

    def weight_bytes(self, choice_S: Sequence[int]) -> int:
        """Of all weights."""
        rows = np.arange(len(self.ops_of_product))
        return self.other_bytes + int(self.bytes_SP[rows, np.asarray(choice_S, np.int64)].sum())
