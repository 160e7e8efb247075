"""Bound and best plan together: own search, linear relaxation, rounding, branch and bound."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from egrl.audit.bound import SOLVER_SLACK, branch, dive, floor_seconds, relax
from egrl.audit.bound_model import build_program
from egrl.audit.cost import CostTable
from egrl.audit.search import fill, improve, outermost, round_shares
from egrl.audit.state import is_feasible

RELAXED_TABLE_LIMIT = 100
"""Stream ops with at most this many combinations of homes are written as tables for the
relaxation: its bound is then nearly that of whole tensors."""

BRANCHED_TABLE_LIMIT = 12
"""The same for branch and bound, where many columns cost more than they bring."""

MAX_ENTRIES = 4_000_000
"""Larger programs are not built: the floor over single ops is reported instead."""

DIVE_SHARE = 0.3
"""Of the time that is left after the relaxation."""

RELAXATION_SHARE = 10.0
"""Of the time limit; without the relaxation there is no bound worth reporting."""

BRANCH_SHARE = 0.5
"""Of the time limit; branch and bound may take this much whatever came before."""

MAX_SEARCHED_TENSORS = 4_000
"""Above this the neighbourhood of pairs takes too long; only the greedy plan is tried."""


@dataclass(frozen=True, slots=True)
class Solution:
    """The best plan found and what is proven about every plan.

    Attributes:
        bound_s: no feasible plan is faster.
        status: `optimal`, `gap reached`, `time limit`, `infeasible` (no plan fits) or `floor`
            (too large for the solver: each op at its best homes, capacity ignored).
        homes: the best feasible plan found, or None.
        seconds: its latency, or None.
        source: which search found it.
    """

    bound_s: float
    status: str
    homes: tuple[int, ...] | None
    seconds: float | None
    source: str


class _Best:
    """The best feasible plan so far; the first of equals stays."""

    def __init__(self, table: CostTable) -> None:
        self.table = table
        self.homes: tuple[int, ...] | None = None
        self.seconds: float | None = None
        self.source = ""

    def offer(self, homes: Sequence[int] | None, source: str) -> None:
        if homes is None or not is_feasible(self.table, homes):
            return
        seconds = self.table.seconds(homes)
        if self.seconds is None or seconds < self.seconds:
            self.homes, self.seconds, self.source = tuple(homes), seconds, source

    def close(self, bound_s: float, relative_gap: float) -> bool:
        return self.seconds is not None and self.seconds <= bound_s * (1 + relative_gap)


def solve(
    table: CostTable,
    given: Sequence[Sequence[int]],
    relative_gap: float,
    time_limit_s: float,
) -> Solution:
    """Searches for a good plan and proves how good a plan can be.

    Stops as soon as the plan is within `relative_gap` of the bound.

    Args:
        table: the problem.
        given: plans to start from besides our own; infeasible ones are ignored.
        relative_gap: latency over bound, minus one, at which to stop.
        time_limit_s: of the whole, checked between the parts; what proves the bound may go
            beyond it, the relaxation to ten times the limit, branch and bound by half of it.
    """
    started = time.monotonic()
    best = _Best(table)
    for homes in given:
        best.offer(homes, "given plan")
    start = outermost(table)
    best.offer(start, "all-outermost")
    search = _searcher(table)
    if is_feasible(table, start):
        best.offer(search(start), "local search")
    bound_s = floor_seconds(table)
    if best.close(bound_s, relative_gap):
        return _solution(best, bound_s, "gap reached")
    unit_s = best.seconds or bound_s
    relaxed = build_program(table, unit_s, RELAXED_TABLE_LIMIT, MAX_ENTRIES)
    if relaxed is None:
        return _solution(best, bound_s, "floor")

    def left_s() -> float:
        return time_limit_s - (time.monotonic() - started)

    relaxation = relax(table, relaxed, max(left_s(), RELAXATION_SHARE * time_limit_s))
    if relaxation.infeasible:
        return _solution(best, bound_s, "infeasible")
    bound_s = max(bound_s, relaxation.seconds)
    shares = relaxation.shares
    if shares is not None and not best.close(bound_s, relative_gap) and left_s() > 0:
        rounded = round_shares(table, shares)
        if is_feasible(table, rounded):
            best.offer(search(rounded), "rounded relaxation and local search")
    if best.close(bound_s, relative_gap):
        return _solution(best, bound_s, "gap reached")
    program = build_program(table, unit_s, BRANCHED_TABLE_LIMIT, MAX_ENTRIES) or relaxed
    if shares is not None and left_s() > 0:
        dived = dive(table, program, shares, relative_gap, left_s() * DIVE_SHARE)
        if dived is not None:
            best.offer(search(dived), "dive and local search")
        if best.close(bound_s, relative_gap):
            return _solution(best, bound_s, "gap reached")
    branch_s = max(left_s(), BRANCH_SHARE * time_limit_s)
    branched = branch(table, program, best.homes, relative_gap, branch_s)
    if branched.infeasible and best.homes is None:
        return _solution(best, bound_s, "infeasible")
    bound_s = max(bound_s, branched.seconds)
    best.offer(branched.homes, "mixed-integer program")
    if branched.homes is not None and not best.close(bound_s, relative_gap):
        best.offer(search(branched.homes), "mixed-integer program and local search")
    reached = branched.finished or best.close(bound_s, relative_gap)
    return _solution(best, bound_s, "gap reached" if reached else "time limit")


def _searcher(table: CostTable) -> Callable[[Sequence[int]], Sequence[int]]:
    if len(table.allowed_T) > MAX_SEARCHED_TENSORS:
        return lambda homes: fill(table, homes)
    return lambda homes: improve(table, homes)


def _solution(best: _Best, bound_s: float, status: str) -> Solution:
    if best.seconds is not None:
        bound_s = min(bound_s, best.seconds)
        if status != "infeasible" and best.close(bound_s, 4 * SOLVER_SLACK):
            status = "optimal"
    return Solution(bound_s, status, best.homes, best.seconds, best.source)
