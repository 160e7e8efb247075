"""`auto`: a portfolio; never worse than what any of its members found in the same run.

The references and the trained policy give a start. The exact program then runs in a process of its
own, from that start, while local search improves it here; what either finds is the other's bar, and
the program's bound ends the run early when the best placement is proven good enough. With a budget
of evaluations everything runs in turn in this process, so that the same seed gives the same bytes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.agents.egrl.checkpoint import SHIPPED, cached_policy
from egrl.agents.egrl.zero_shot import zero_shot
from egrl.placers.acts_first import ActsFirst
from egrl.placers.all_outermost import AllOutermost
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress
from egrl.placers.exact import ExactProgram, exact_program, offer_solution
from egrl.placers.greedy import Greedy
from egrl.placers.improver import Improver
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

GRACE_SECONDS = 2.0
"""What the solver may take beyond the end to say which bound it has proven."""

SLICES = 40
"""A budget of time is given to the local search in so many slices."""

STALE_SLICES = 12
"""Slices without improvement that end the run once the program is solved to its end."""

EVALUATIONS_PER_NODE = 1000


POLICY_SAMPLES = 64
"""Placements tried around the policy's."""


@dataclass(frozen=True, slots=True)
class Auto(Placer):
    """See the module.

    Attributes:
        policy: file of the policy that gives the first start; None for none.
    """

    policy: Path | None = SHIPPED

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
            if self.policy is not None:
                _offer_policy(session, self.policy, rng)
            exact = _program(search)
            improver = Improver(session)
            if budget.seconds is None:
                bound_s = max(bound_s, _run_in_turn(search, exact, improver))
            else:
                bound_s = max(bound_s, _run_together(search, exact, improver, budget.seconds))
        except KeyboardInterrupt:
            progress("interrupted; keeping the best so far", search.best_s)
        return search.result(bound_s)


def _offer_policy(session: Session, path: Path, rng: np.random.Generator) -> None:
    """What the policy gives and the best sample around it."""
    search = session.search
    shot = zero_shot(search.problem, session.decoder, session.rectifier, cached_policy(path), rng)
    homes_PT = np.concatenate([shot.first(), shot.samples(POLICY_SAMPLES, rng)])
    if search.budget.evaluations is not None:
        homes_PT = homes_PT[: max(0, search.budget.evaluations - search.evaluations)]
    if len(homes_PT):
        latency_P = search.measure(homes_PT)
        best = int(latency_P.argmin())
        if latency_P[best] < search.best_s:
            session.search.offer(homes_PT[best], float(latency_P[best]))


def _offer_references(session: Session, rng: np.random.Generator) -> None:
    for reference in REFERENCES:
        try:
            found = reference().place(session.search.problem, Budget(evaluations=1), rng)
        except UnmetRequirementError:
            continue  # This rule finds nothing feasible; another has already.
        session.search.evaluations += found.evaluations
        session.search.offer(found.homes_T, found.latency_s)


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
