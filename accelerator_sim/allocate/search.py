"""Exact search of a packing problem: split it, peel it, and restart the kernel with a rising limit.

The problem falls apart where nothing is live across a border. In a part whose alignments are all
equal, a buffer that is live in all of its sections can lie at the bottom without loss; without it
the part may fall apart again. What remains is searched with a few orders in turn, each restart
with four times the nodes, so that a lucky order is found early and a proof still comes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from accelerator_sim.allocate.problem import Ints, PackingProblem
from accelerator_sim.allocate.search_kernel import EXHAUSTED, FOUND, search_component

Status = Literal["found", "infeasible", "exhausted"]

# Sort keys of the kernel: 0 open bytes of the fullest section, 1 live time, 2 area, 3 size.
_SPECS = ((0, 1, 2), (3, 0, 1), (0, 2, 1))
_FIRST_LIMIT = 2048
_GROWTH = 4
# The kernel's tables grow with the square of the buffers.
_MOST_BUFFERS = 4000


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What the search knows.

    Attributes:
        status: `found`, `infeasible` (proven) or `exhausted`.
        offsets: in units, where found.
        nodes: visited.
    """

    status: Status
    offsets: Ints
    nodes: int


def _components(problem: PackingProblem, members: Ints) -> list[Ints]:
    """Split buffers where nothing is live across a border; in order of time."""
    order = members[np.argsort(problem.first[members], kind="stable")]
    reach = np.maximum.accumulate(problem.last[order])
    borders = np.flatnonzero(problem.first[order][1:] >= reach[:-1]) + 1
    return list(np.split(order, borders))


def _leaves(problem: PackingProblem, offsets: Ints) -> list[tuple[Ints, int]]:
    """Parts that must be searched and where they begin; the rest is given its offset."""
    leaves = []
    work = [(np.arange(len(problem.size)), 0)]
    while work:
        members, base = work.pop()
        for part in _components(problem, members):
            first = problem.first[part]
            last = problem.last[part]
            spanning = (first == first.min()) & (last == last.max())
            if not problem.lossless or not spanning.any():
                leaves.append((np.sort(part), base))
                continue
            bottom = np.sort(part[spanning])
            ends = base + np.cumsum(problem.size[bottom])
            offsets[bottom] = ends - problem.size[bottom]
            rest = part[~spanning]
            if len(rest):
                work.append((rest, int(ends[-1])))
    return sorted(leaves, key=lambda leaf: (len(leaf[0]), int(leaf[0][0])))


def _search_leaf(problem: PackingProblem, node_budget: int) -> SearchResult:
    """Restart the kernel in several orders until one of them knows."""
    offsets = np.zeros(len(problem.size), np.int64)
    if problem.demand() > problem.capacity or (problem.highest < 0).any():
        return SearchResult("infeasible", offsets, 0)
    if len(problem.size) > _MOST_BUFFERS:
        return SearchResult("exhausted", offsets, 0)
    length = problem.length.astype(np.float64)
    size = problem.size.astype(np.float64)
    keys = np.stack([np.zeros_like(size), length, length * size, size], axis=1)
    limit = _FIRST_LIMIT
    nodes = 0
    while nodes < node_budget:
        for spec in _SPECS:
            status, visited = search_component(
                problem.first,
                problem.last,
                problem.size,
                problem.alignment,
                problem.highest,
                keys,
                np.array(spec, np.int64),
                problem.capacity,
                problem.sections,
                min(limit, node_budget - nodes),
                offsets,
            )
            nodes += int(visited)
            if status != EXHAUSTED:
                found: Status = "found" if status == FOUND else "infeasible"
                return SearchResult(found, offsets, nodes)
        limit *= _GROWTH
    return SearchResult("exhausted", offsets, nodes)


def search(problem: PackingProblem, node_budget: int) -> SearchResult:
    """Find offsets within the capacity, prove that there are none, or run out of nodes."""
    offsets = np.zeros(len(problem.size), np.int64)
    nodes = 0
    status: Status = "found"
    for members, base in _leaves(problem, offsets):
        leaf = _search_leaf(problem.part(members, base), node_budget - nodes)
        nodes += leaf.nodes
        offsets[members] = leaf.offsets + base
        if leaf.status == "infeasible":
            return SearchResult("infeasible", offsets, nodes)
        if leaf.status == "exhausted":
            status = "exhausted"
    if status == "found" and (offsets > problem.highest).any():
        return SearchResult("infeasible", offsets, nodes)
    return SearchResult(status, offsets, nodes)
