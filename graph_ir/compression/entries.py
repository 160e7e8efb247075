"""Single entries of a weight that are kept as they are, beside its integers.

Stored as one list in the order of the flat weight: 16 bits for the distance to the entry before,
16 for the value. A distance that 16 bits do not hold is bridged by entries of 0.

Axes: K inner, N columns, P entries.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_ir.errors import InputError

ENTRY_BITS = 32
FARTHEST = (1 << 16) - 1


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of a weight `[K, N]`; its integers stand for 0 there.

    Attributes:
        row_P: of each.
        column_P: of each.
        value_P: float16.
    """

    row_P: NDArray[np.int64]
    column_P: NDArray[np.int64]
    value_P: NDArray[np.float16]

    def between(self, start: int, stop: int) -> "Entries":
        """Those of some columns, counted from the first of these."""
        inside_P = (self.column_P >= start) & (self.column_P < stop)
        return Entries(
            self.row_P[inside_P], self.column_P[inside_P] - start, self.value_P[inside_P]
        )

    def stored(self, columns: int) -> tuple[NDArray[np.uint16], NDArray[np.float16]]:
        """Distances and values, with those of 0 that bridge.

        Args:
            columns: N of the weight.
        """
        at_P = self.row_P * columns + self.column_P
        order_P = np.argsort(at_P, kind="stable")
        step_P = np.diff(at_P[order_P], prepend=0)
        bridges_P = np.maximum(step_P - 1, 0) // FARTHEST
        last_P = np.cumsum(bridges_P + 1) - 1
        distance = np.full(int((bridges_P + 1).sum()), FARTHEST, np.uint16)
        value = np.zeros(len(distance), np.float16)
        distance[last_P] = step_P - bridges_P * FARTHEST
        value[last_P] = self.value_P[order_P]
        return distance, value

    def stored_bits(self, columns: int) -> int:
        """Of distances and values."""
        return ENTRY_BITS * len(self.stored(columns)[0])


def beyond(weight_KN: NDArray[np.float32], sigmas: float) -> Entries:
    """The entries that lie further from the mean of the weight than so many deviations.

    EasyQuant (arXiv 2403.02775), section 3.1.

    Raises:
        InputError: a value that float16 does not hold.
    """
    mean = float(weight_KN.mean(dtype=np.float64))
    deviation = float(weight_KN.std(dtype=np.float64))
    row_P, column_P = np.nonzero(np.abs(weight_KN - np.float32(mean)) > sigmas * deviation)
    with np.errstate(over="ignore"):
        value_P = weight_KN[row_P, column_P].astype(np.float16)
    if not np.isfinite(value_P).all():
        raise InputError(f"outliers={sigmas:g}: an entry is too large for float16")
    return Entries(row_P.astype(np.int64), column_P.astype(np.int64), value_P)
