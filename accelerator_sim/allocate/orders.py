"""Orders in which greedy allocators place buffers, each total: ties fall back on the index."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.allocate.problem import Ints, PackingProblem


def _by(problem: PackingProblem, *falling: Ints | NDArray[np.float64]) -> Ints:
    """Sort by falling keys, the first the most important."""
    index = np.arange(len(problem.size))
    return np.lexsort((index, *(-key for key in reversed(falling))))


def _open_bytes(problem: PackingProblem) -> Ints:
    """The largest live sum over each buffer's sections."""
    change = np.zeros(problem.sections + 1, np.int64)
    np.add.at(change, problem.first, problem.size)
    np.subtract.at(change, problem.last, problem.size)
    live = np.cumsum(change)
    # Sparse table for the maximum over a range.
    levels = [live]
    while 2 << (len(levels) - 1) <= len(live):
        half = 1 << (len(levels) - 1)
        levels.append(np.maximum(levels[-1][:-half], levels[-1][half:]))
    span = problem.last - problem.first
    level = np.frexp(span.astype(np.float64))[1] - 1
    most = np.zeros(len(span), np.int64)
    for k, row in enumerate(levels):
        at = np.flatnonzero(level == k)
        most[at] = np.maximum(row[problem.first[at]], row[problem.last[at] - (1 << k)])
    return most


def by_size(problem: PackingProblem) -> Ints:
    """Largest first, then the longest lived."""
    return _by(problem, problem.size, problem.length)


def by_area(problem: PackingProblem) -> Ints:
    """Largest product of size and live time first."""
    span = problem.last - problem.first
    return _by(problem, problem.size.astype(np.float64) * span, problem.size)


def by_length(problem: PackingProblem) -> Ints:
    """Longest lived first, then the largest."""
    return _by(problem, problem.length, problem.size)


def by_lower(problem: PackingProblem) -> Ints:
    """In the order of execution, then the largest."""
    return _by(problem, -problem.first, problem.size)


def by_crowding(problem: PackingProblem) -> Ints:
    """Those of the fullest section first, then the longest lived, then the largest."""
    return _by(problem, _open_bytes(problem), problem.length, problem.size)


def by_conflicts(problem: PackingProblem) -> Ints:
    """Those that overlap most others in time first, then the largest."""
    starts = np.cumsum(np.bincount(problem.first, minlength=problem.sections + 1))
    ends = np.cumsum(np.bincount(problem.last, minlength=problem.sections + 1))
    # Overlapping = started before my end, less those that ended no later than my start.
    return _by(problem, starts[problem.last - 1] - ends[problem.first], problem.size)


# In the order in which they are tried.
ORDERS: dict[str, Callable[[PackingProblem], Ints]] = {
    "size": by_size,
    "area": by_area,
    "crowding": by_crowding,
    "length": by_length,
    "lower": by_lower,
    "conflicts": by_conflicts,
}
