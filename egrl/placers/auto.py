"""`auto`: a portfolio; never worse than what any of its members found in the same run.

The references give a start. The exact program then runs in a process of its own, from that start,
while local search improves it here; what either finds is the other's bar, and the program's bound
ends the run early when the best placement is proven good enough. With a budget of evaluations
everything runs in turn in this process, so that the same seed gives the same bytes.
"""

import time
from dataclasses import dataclass

import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.placers.acts_first import ActsFirst
from egrl.placers.all_outermost import AllOutermost
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress
from egrl.placers.exact import ExactProgram, exact_program, offer_solution
from egrl.placers.greedy import Greedy
from egrl.placers.milp import BackgroundSolve, Limits, Solved, solve_program
from egrl.placers.native import Native
from egrl.placers.op_hull import floor_seconds
from egrl.placers.session import Session, begin
from graph_ir.errors import UnmetRequirementError

REFERENCES: tuple[type[Placer], ...] = (ActsFirst, Greedy, Native, AllOutermost)

DEFAULT_SECONDS = 30.0
SOLVER_SHARE = 0.85
"""Of the time: the rest polishes what the solver found."""

PROVEN_GAP = 5e-4
"""A placement this close to the bound ends the run."""

TURNS: tuple[tuple[float, float, int], ...] = (
    (1e-3, np.inf, 0),
    (1e-4, 4.0, 4),
    (3e-3, 4.0, 4),
    (3e-4, np.inf, 0),
)
"""First temperature as a share of the best latency, noise and refills of `local_search.py`."""

COLD_SHARE = 1e-6
"""Last temperature of every turn."""

FIRST_EVALUATIONS = 2000
"""Of the first turn under a budget of time, which tells how fast the machine is."""

GRACE_SECONDS = 2.0
"""What the solver may take beyond the end to say which bound it has proven."""

SLICES = 40
"""A budget of time is given to the local search in so many slices."""

STALE_SLICES = 12
"""Slices without improvement that end the run once the program is solved to its end."""

EVALUATIONS_PER_NODE = 1000


@dataclass(frozen=True, slots=True)
class Auto(Placer):
    """See the module."""

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """See `Placer.place`. An interrupt ends the search and keeps the best so far."""
        if budget.evaluations is None and budget.seconds is None:
            budget = Budget(seconds=DEFAULT_SECONDS)
        session = begin(problem, budget, rng, progress, None, 1)
        search = session.search
        bound_s = floor_seconds(problem)
        try:
            _offer_references(session, rng)
            exact = _program(search)
            improver = Improver(session)
            if budget.seconds is None:
                bound_s = max(bound_s, _run_in_turn(search, exact, improver))
            else:
                bound_s = max(bound_s, _run_together(search, exact, improver, budget.seconds))
        except KeyboardInterrupt:
            progress("interrupted; keeping the best so far", search.best_s)
        return search.result(bound_s)


def _offer_references(session: Session, rng: np.random.Generator) -> None:
    for reference in REFERENCES:
        try:
            found = reference().place(session.search.problem, Budget(evaluations=1), rng)
        except UnmetRequirementError:
            continue  # This rule finds nothing feasible; another has already.
        session.search.evaluations += found.evaluations
        session.search.offer(found.homes_T, found.latency_s)


@dataclass(slots=True)
class Improver:
    """Annealing from the incumbent, in turns: hotter and colder, with and without refills.

    Attributes:
        session: whose incumbent to improve.
        evaluations_per_s: seen so far.
        turn: how many turns were taken.
    """

    session: Session
    evaluations_per_s: float = 0.0
    turn: int = 0

    def for_seconds(self, seconds: float) -> None:
        """One turn of about so many seconds."""
        count = FIRST_EVALUATIONS
        if self.evaluations_per_s > 0.0:
            count = max(100, int(seconds * self.evaluations_per_s))
        began, before = time.monotonic(), self.session.search.evaluations
        self.for_evaluations(count)
        evaluated = self.session.search.evaluations - before
        rate = evaluated / max(1e-6, time.monotonic() - began)
        # The first turn compiles or loads the compiled code; it must not set the pace for good.
        self.evaluations_per_s = max(0.5 * self.evaluations_per_s, rate)

    def for_evaluations(self, count: int) -> None:
        """One turn of so many evaluations, from the incumbent."""
        session = self.session
        start_T, best_s = session.search.best_homes_T, session.search.best_s
        assert start_T is not None
        session.best_T, session.best_s = start_T, best_s
        hot_share, noise, refills = TURNS[self.turn % len(TURNS)]
        if self.turn % len(TURNS) == 0:
            session.relax()
        self.turn += 1
        if not len(session.free):
            session.search.evaluations += count
            return
        state = session.state(start_T)
        session.walk(
            state, session.free, (hot_share * best_s, COLD_SHARE * best_s), count, noise, refills
        )


def _program(search: Search) -> ExactProgram | None:
    """The exact program, or None where it would be too large to be of use."""
    assert search.best_homes_T is not None
    try:
        return exact_program(search.problem, search.best_homes_T)
    except UnmetRequirementError as error:
        search.progress(f"no exact program: {error}", search.best_s)
        return None


def _run_in_turn(search: Search, exact: ExactProgram | None, improver: Improver) -> float:
    """Solver first, then local search on what evaluations are left; returns the bound."""
    bound_s = 0.0
    evaluations = search.budget.evaluations
    assert evaluations is not None
    assert search.best_homes_T is not None
    if exact is not None:
        nodes = max(1, evaluations // EVALUATIONS_PER_NODE)
        solved = solve_program(exact.program, Limits(nodes=nodes))
        bound_s = exact.lower_bound_s(solved)
        offer_solution(search, exact, solved, search.best_homes_T)
    while not search.exhausted and search.best_s > (1 + PROVEN_GAP) * bound_s:
        improver.for_evaluations(min(evaluations - search.evaluations, max(100, evaluations // 8)))
    return bound_s


def _run_together(
    search: Search, exact: ExactProgram | None, improver: Improver, seconds: float
) -> float:
    """Solver beside local search; returns the bound."""
    if exact is None:
        while not search.exhausted:
            improver.for_seconds(_slice(search, seconds))
        return 0.0
    limits = Limits(seconds=SOLVER_SHARE * max(0.1, seconds - search.seconds))
    with BackgroundSolve(exact.program, limits) as solve:
        return _alternate(search, exact, solve, improver, seconds)


def _alternate(
    search: Search,
    exact: ExactProgram,
    solve: BackgroundSolve,
    improver: Improver,
    seconds: float,
) -> float:
    bound_s = exact.floor_s
    solved: Solved | None = None
    stale = 0
    while not search.exhausted and search.best_s > (1 + PROVEN_GAP) * bound_s:
        before = search.best_s
        improver.for_seconds(_slice(search, seconds))
        if solved is None:
            solved = solve.wait(0.0)
            if solved is not None:
                bound_s = max(bound_s, exact.lower_bound_s(solved))
                assert search.best_homes_T is not None
                offer_solution(search, exact, solved, search.best_homes_T)
                search.progress("bound proven", search.best_s)
        stale = 0 if search.best_s < before else stale + 1
        if solved is not None and solved.optimal and stale >= STALE_SLICES:
            break
    if solved is None and search.best_s > (1 + PROVEN_GAP) * bound_s:
        solved = solve.wait(max(GRACE_SECONDS, seconds - search.seconds))
    return max(bound_s, exact.lower_bound_s(solved)) if solved is not None else bound_s


def _slice(search: Search, seconds: float) -> float:
    """Seconds of the next turn of the local search."""
    return min(max(0.05, seconds / SLICES), max(0.01, seconds - search.seconds))
