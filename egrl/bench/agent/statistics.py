"""Interquartile means with stratified bootstrap intervals.

After Agarwal, Schwarzer, Castro, Courville and Bellemare, "Deep reinforcement learning at the edge
of the statistical precipice" (NeurIPS 2021): scores of all runs of all problems are pooled, the
mean of their middle half is the aggregate, and its uncertainty comes from drawing runs again with
replacement within every problem. Axis letters: R resamples, S runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Statistic = Callable[[F64], F64]
"""From values [R, S] to [R]."""

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its bootstrap interval; infinite where too many runs have no value."""

    low: float
    mid: float
    high: float

    def below(self, other: "Interval") -> bool:
        """Whether all of it is less than all of the other."""
        return self.high < other.low


def interquartile_mean(values_RS: F64) -> F64:
    """Mean of the middle half of every row; a quarter, rounded down, is left out at each end."""
    count = values_RS.shape[1]
    cut = count // 4
    middle_RS = np.sort(values_RS, axis=1)[:, cut : count - cut]
    result: F64 = middle_RS.mean(axis=1)
    return result


def mean(values_RS: F64) -> F64:
    """Mean of every row."""
    result: F64 = values_RS.mean(axis=1)
    return result


def interval(
    strata: Sequence[Sequence[float]],
    statistic: Statistic = interquartile_mean,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The statistic of all values, with percentiles of it under resampling within strata.

    Args:
        strata: values of the runs of each problem, at least one each; infinity where a run has
            nothing to show.
        statistic: from values [R, S] to [R].
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    rng = np.random.default_rng(seed)
    values = [np.array(stratum, np.float64) for stratum in strata]
    mid = float(statistic(np.concatenate(values)[np.newaxis])[0])
    drawn_RS = np.concatenate(
        [value[rng.integers(0, len(value), (resamples, len(value)))] for value in values], axis=1
    )
    ordered = np.sort(statistic(drawn_RS))
    # Nearest ranks: there is nothing between a number and infinity.
    tail = round((1.0 - LEVEL) / 2 * (resamples - 1))
    return Interval(float(ordered[tail]), mid, float(ordered[resamples - 1 - tail]))


def value_at(curve: Sequence[tuple[float, float]], at: float) -> float:
    """Value of an anytime curve at a point: that of the last step at or before it.

    Args:
        curve: (point, value), by rising point; values fall.
        at: evaluations or seconds.

    Returns:
        Infinity before the first step.
    """
    found = np.inf
    for point, value in curve:
        if point > at:
            break
        found = value
    return float(found)


def first_within(curve: Sequence[tuple[float, float]], limit: float) -> float:
    """The first point at which an anytime curve is at most `limit`; infinity where never."""
    return float(next((point for point, value in curve if value <= limit), np.inf))
