"""Shares bytes out where they take away the most error."""

import heapq
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Choice = tuple[float, float]
"""Cost, error."""


def allot(choices: Mapping[Key, Sequence[Choice]], budget: float) -> dict[Key, int] | None:
    """For each key one of its choices, so that errors add up to little within a budget.

    Starts with everyone's cheapest choice and goes on with the step that takes away the most error
    for its cost, along each key's lower convex hull: the best there is, but for the last step.

    Args:
        choices: for each key, in order; ties go to the earlier key.
        budget: of the costs' sum.

    Returns:
        The index of each key's choice; None where the cheapest ones cost more than the budget.
    """
    hulls = [_hull(options) for options in choices.values()]
    at = [0] * len(hulls)
    costs = list(choices.values())
    left = budget - sum(options[hull[0]][0] for options, hull in zip(costs, hulls, strict=True))
    if left < 0:
        return None
    heap = [(-_rate(costs[i], hull, 0), i) for i, hull in enumerate(hulls) if len(hull) > 1]
    heapq.heapify(heap)
    while heap:
        _, i = heapq.heappop(heap)
        options, hull = costs[i], hulls[i]
        more = options[hull[at[i] + 1]][0] - options[hull[at[i]]][0]
        if more > left:
            continue
        left -= more
        at[i] += 1
        if at[i] + 1 < len(hull):
            heapq.heappush(heap, (-_rate(options, hull, at[i]), i))
    return {key: hull[i] for key, hull, i in zip(choices, hulls, at, strict=True)}


def _hull(options: Sequence[Choice]) -> list[int]:
    """Indices of the choices that are best for some price of cost, cheapest first."""
    ranked = sorted(range(len(options)), key=lambda i: (*options[i], i))
    hull: list[int] = []
    for i in ranked:
        if hull and options[i][1] >= options[hull[-1]][1]:
            continue
        while len(hull) > 1 and _rate(options, [hull[-2], i], 0) >= _rate(options, hull[-2:], 0):
            hull.pop()
        hull.append(i)
    return hull


def _rate(options: Sequence[Choice], hull: Sequence[int], at: int) -> float:
    """Error that a step takes away for each unit of cost."""
    (cost, error), (more, less) = options[hull[at]], options[hull[at + 1]]
    return (error - less) / max(more - cost, 1e-300)
