"""Outputs compared with a reference, relative to the reference's range."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

# By item size of the floating type: rounding of that type, summed in another order.
_TOLERANCE_BY_ITEM_BYTES = {8: 1e-5, 4: 1e-5, 2: 1e-2}


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one output is from its reference.

    Attributes:
        name: of the output.
        relative_error: largest absolute difference over the reference's range (over 1 where the
            range is 0); infinite where shape, type or the places of NaNs differ.
        tolerance: accepted relative error; 0 for integers and booleans.
        exact: every byte is equal.
    """

    name: str
    relative_error: float
    tolerance: float
    exact: bool

    @property
    def within(self) -> bool:
        """True where the error is accepted."""
        return self.relative_error <= self.tolerance


def compare_outputs(
    expected: Mapping[str, Array], got: Mapping[str, Array]
) -> tuple[Difference, ...]:
    """One difference for every expected output, in its order; a missing one differs infinitely."""
    return tuple(_difference(name, array, got.get(name)) for name, array in expected.items())


def _difference(name: str, expected: Array, got: Array | None) -> Difference:
    floating = expected.dtype.kind == "f" or expected.dtype.name == "bfloat16"
    tolerance = _TOLERANCE_BY_ITEM_BYTES.get(expected.dtype.itemsize, 0.0) if floating else 0.0
    if got is None or got.shape != expected.shape or got.dtype != expected.dtype:
        return Difference(name, float("inf"), tolerance, False)
    exact = expected.tobytes() == got.tobytes()
    error = 0.0 if exact else _relative_error(expected, got)
    return Difference(name, error, tolerance, exact)


def _relative_error(expected: Array, got: Array) -> float:
    a, b = expected.astype(np.float64), got.astype(np.float64)
    # Infinities and NaNs must be the same ones; the range is that of the rest.
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    a, b = a[finite], b[finite]
    if not np.isfinite(b).all():
        return float("inf")
    if a.size == 0:
        return 0.0
    span = float(a.max() - a.min())
    return float(np.abs(a - b).max()) / (span if span > 0.0 else 1.0)
