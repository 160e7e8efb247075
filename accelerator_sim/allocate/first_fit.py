"""Greedy packing: place buffers one by one, each into the first or tightest gap it fits."""

import numpy as np

from accelerator_sim.allocate.problem import Ints, PackingProblem
from accelerator_sim.compiled import compiled

# Above this number of buffers the kernel looks only at neighbours in time.
_SCAN_BUFFERS = 2000
_NEIGHBOUR_PAIRS = 20_000_000


@compiled
def _scan(
    order: Ints, first: Ints, last: Ints, size: Ints, alignment: Ints, best: bool, offsets: Ints
) -> None:
    """Keep all placed buffers sorted by offset and walk through them."""
    placed = np.empty(len(order), np.int64)
    for count in range(len(order)):
        j = order[count]
        need = size[j]
        unit = alignment[j]
        cursor = np.int64(0)
        chosen = np.int64(-1)
        tightest = np.int64(1 << 62)
        for p in range(count):
            k = placed[p]
            if first[k] >= last[j] or first[j] >= last[k]:
                continue
            gap = offsets[k] - cursor
            if gap >= need and gap < tightest:
                chosen = cursor
                tightest = gap
                if not best:
                    break
            end = (offsets[k] + size[k] + unit - 1) // unit * unit
            cursor = max(cursor, end)
        offset = chosen if chosen >= 0 else cursor
        offsets[j] = offset
        p = count
        while p > 0 and offsets[placed[p - 1]] > offset:
            placed[p] = placed[p - 1]
            p -= 1
        placed[p] = j


@compiled
def _neighbours(starts: Ints, first: Ints, last: Ints, limit: int) -> tuple[Ints, Ints, bool]:
    """Pairs that are live together, as rows of a compressed table; False where too many."""
    n = len(first)
    degree = np.zeros(n + 1, np.int64)
    rows = np.zeros(0, np.int64)
    for fill in range(2):
        active = np.empty(n, np.int64)
        count = 0
        pairs = 0
        for j in starts:
            kept = 0
            for a in range(count):
                k = active[a]
                if last[k] > first[j]:
                    active[kept] = k
                    kept += 1
                    if fill:
                        degree[j] -= 1
                        rows[degree[j]] = k
                        degree[k] -= 1
                        rows[degree[k]] = j
                    else:
                        degree[j] += 1
                        degree[k] += 1
            count = kept
            pairs += kept
            if pairs > limit:
                return degree, rows, False
            active[count] = j
            count += 1
        if not fill:
            for j in range(n):
                degree[j + 1] += degree[j]
            # degree[j] is now one past row j; filling moves it down to the row's start.
            degree[n] = degree[n - 1] if n else 0
            rows = np.empty(degree[n], np.int64)
    return degree, rows, True


@compiled
def _sparse(
    order: Ints,
    row_start: Ints,
    rows: Ints,
    size: Ints,
    alignment: Ints,
    best: bool,
    offsets: Ints,
) -> None:
    """As `_scan`, looking only at the placed neighbours of each buffer."""
    offsets[:] = -1
    for j in order:
        near = rows[row_start[j] : row_start[j + 1]]
        near = near[offsets[near] >= 0]
        near = near[np.argsort(offsets[near], kind="mergesort")]
        need = size[j]
        unit = alignment[j]
        cursor = np.int64(0)
        chosen = np.int64(-1)
        tightest = np.int64(1 << 62)
        for k in near:
            gap = offsets[k] - cursor
            if gap >= need and gap < tightest:
                chosen = cursor
                tightest = gap
                if not best:
                    break
            end = (offsets[k] + size[k] + unit - 1) // unit * unit
            cursor = max(cursor, end)
        offsets[j] = chosen if chosen >= 0 else cursor


class Fitter:
    """Greedy packing of one problem in several orders; pairs in time are found once."""

    def __init__(self, problem: PackingProblem) -> None:
        self._problem = problem
        self._row_start = np.zeros(0, np.int64)
        self._rows = np.zeros(0, np.int64)
        self._sparse = False
        if len(problem.size) > _SCAN_BUFFERS:
            starts = np.argsort(problem.first, kind="stable")
            self._row_start, self._rows, self._sparse = _neighbours(
                starts, problem.first, problem.last, _NEIGHBOUR_PAIRS
            )

    def fit(self, order: Ints, best: bool) -> Ints:
        """Offsets of a greedy packing.

        Args:
            order: every buffer once, in order of placing.
            best: take the tightest gap instead of the lowest.
        """
        p = self._problem
        offsets = np.empty(len(p.size), np.int64)
        if self._sparse:
            _sparse(order, self._row_start, self._rows, p.size, p.alignment, best, offsets)
        else:
            _scan(order, p.first, p.last, p.size, p.alignment, best, offsets)
        return offsets
