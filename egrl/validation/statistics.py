"""Errors and rank correlation of a set of points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egrl.validation.result import Point


@dataclass(frozen=True, slots=True)
class Summary:
    """How well predictions agree with a reference.

    Attributes:
        count: of points whose reference is not 0.
        mean_error: mean of |predicted / reference - 1|.
        median_error: likewise.
        worst_error: likewise.
        worst_name: of the point that has it.
        rank_correlation: Spearman's, or None where all values of one side are equal.
    """

    count: int
    mean_error: float
    median_error: float
    worst_error: float
    worst_name: str
    rank_correlation: float | None


def summarize(points: Sequence[Point]) -> Summary | None:
    """Summary of all points that have a reference to be relative to; None without any."""
    kept = [point for point in points if point.reference != 0]
    if not kept:
        return None
    errors = np.array([relative_error(point) for point in kept])
    worst = int(errors.argmax())
    return Summary(
        len(kept),
        float(errors.mean()),
        float(np.median(errors)),
        float(errors[worst]),
        kept[worst].name,
        spearman([p.reference for p in kept], [p.predicted for p in kept]),
    )


def relative_error(point: Point) -> float:
    """|predicted / reference - 1|."""
    return abs(point.predicted / point.reference - 1.0)


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties sharing their mean rank; None where there is no order."""
    a, b = _ranks(first), _ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else None


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(
        np.asarray(values, np.float64), return_inverse=True, return_counts=True
    )
    last = np.cumsum(counts).astype(np.float64)
    mean: NDArray[np.float64] = last - (counts - 1) / 2.0
    return mean[inverse]
