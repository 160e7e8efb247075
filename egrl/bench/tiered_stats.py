"""How well one list of latencies ranks another, and how far measurements repeat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of a model with a measurement, over placements.

    Attributes:
        spearman: rank correlation.
        best_excess: measured latency of the placement that the model likes best, over the least
            measured latency, minus 1.
        error: median of |predicted / measured - 1|.
        bias: median of predicted / measured.
    """

    spearman: float
    best_excess: float
    error: float
    bias: float


def spearman(a_P: Sequence[float], b_P: Sequence[float]) -> float:
    """Rank correlation, ties at their mean rank; 0 where one side is constant.

    Raises:
        ValueError: the lists differ in length or have fewer than two entries.
    """
    if len(a_P) != len(b_P) or len(a_P) < 2:
        raise ValueError(f"expected two lists of the same length >= 2, got {len(a_P)}, {len(b_P)}")
    ranks_a, ranks_b = _ranks(np.asarray(a_P, float)), _ranks(np.asarray(b_P, float))
    ranks_a -= ranks_a.mean()
    ranks_b -= ranks_b.mean()
    scale = float(np.sqrt((ranks_a**2).sum() * (ranks_b**2).sum()))
    return float((ranks_a * ranks_b).sum()) / scale if scale > 0 else 0.0


def _ranks(values_P: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values_P, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: NDArray[np.float64] = last - (counts - 1) / 2.0
    return mean_rank[inverse].astype(np.float64)


def agreement(predicted_s_P: Sequence[float], measured_s_P: Sequence[float]) -> Agreement:
    """Compare a prediction with a measurement of the same placements."""
    predicted, measured = np.asarray(predicted_s_P), np.asarray(measured_s_P)
    likes_best = int(predicted.argmin())
    return Agreement(
        spearman=spearman(predicted_s_P, measured_s_P),
        best_excess=float(measured[likes_best] / measured.min() - 1.0),
        error=float(np.median(np.abs(predicted / measured - 1.0))),
        bias=float(np.median(predicted / measured)),
    )


def repeatability(measured_s_RP: NDArray[np.float64]) -> float:
    """Rank correlation of the medians of every other round with those of the rest."""
    halves = [np.median(measured_s_RP[first::2], axis=0) for first in (0, 1)]
    return spearman(halves[0].tolist(), halves[1].tolist())


def spread(measured_s_RP: NDArray[np.float64]) -> float:
    """Median over placements of (third quartile - first quartile) / median of the rounds."""
    low_P, mid_P, high_P = np.percentile(measured_s_RP, [25, 50, 75], axis=0)
    return float(np.median((high_P - low_P) / mid_P))
