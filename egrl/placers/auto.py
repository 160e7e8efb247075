"""`auto`: a portfolio; never worse than what any of its members found in the same run.

It begins as `egrl` does, with the trained policy and the references. The exact program then runs in
a process of its own, from the best of them, while the agent's search goes on here; what either
finds is the other's bar, and the program's bound ends the run early when the best placement is
proven good enough. With a budget of evaluations everything runs in turn in this process, so that
the same seed gives the same bytes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier
from egrl.agents.egrl.checkpoint import SHIPPED
from egrl.agents.egrl.improve import Improvement
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress
from egrl.placers.decoder import build_decoder
from egrl.placers.egrl import Egrl
from egrl.placers.exact import ExactProgram, exact_program, offer_solution
from egrl.placers.milp import BackgroundSolve, Limits, Solved, solve_program
from egrl.placers.op_hull import floor_seconds
from graph_ir.errors import UnmetRequirementError

DEFAULT_SECONDS = 30.0
SOLVER_SHARE = 0.85
"""Of the time: the rest polishes what the solver found."""

PROVEN_GAP = 5e-4
"""A placement this close to the bound ends the run."""

GRACE_SECONDS = 2.0
"""What the solver may take beyond the end to say which bound it has proven."""

STALE_TURNS = 12
"""Turns of the search without improvement that end a run whose program is solved to its end."""

BUILD_SECONDS = 2e-3
"""That an op adds to the time in which the program is built."""

BUILD_SHARE = 0.3
"""Of the time that building it may take."""

EVALUATIONS_PER_NODE = 1000


@dataclass(frozen=True, slots=True)
class Auto(Placer):
    """See the module.

    Attributes:
        policy: file of the policy; None for an untrained one, which is a rule.
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
        search = Search(problem, budget, progress)
        bound_s = 0.0
        try:
            bound_s = self._run(search, rng)
        except KeyboardInterrupt:
            progress("interrupted; keeping the best so far", search.best_s)
        return search.result(max(bound_s, floor_seconds(problem)))

    def _run(self, search: Search, rng: np.random.Generator) -> float:
        """Everything; returns the bound."""
        agent = Egrl(policy=self.policy)
        decoder = build_decoder(search.problem)
        rectifier = build_rectifier(search.problem, decoder.tables, decoder.values)
        opening = agent.open(search, decoder, rectifier, rng)
        improvement = agent.improvement(search, opening, rectifier, rng)
        if improvement is None:
            return search.best_s if search.best_homes_T is not None else 0.0
        exact = _program(search)
        if search.budget.seconds is None:
            return _run_in_turn(search, exact, improvement)
        return _run_together(search, exact, improvement, search.budget.seconds)


def _program(search: Search) -> ExactProgram | None:
    """The exact program, or None where it would be too large to be of use, or built too late."""
    assert search.best_homes_T is not None
    ops, seconds = search.problem.op_count, search.budget.seconds
    if seconds is not None and BUILD_SECONDS * ops > BUILD_SHARE * (seconds - search.seconds):
        search.progress(f"no exact program: {ops} ops are too many for the time", search.best_s)
        return None
    try:
        return exact_program(search.problem, search.best_homes_T)
    except UnmetRequirementError as error:
        search.progress(f"no exact program: {error}", search.best_s)
        return None


def _run_in_turn(search: Search, exact: ExactProgram | None, improvement: Improvement) -> float:
    """Solver first, then the agent's search on what evaluations are left; returns the bound."""
    bound_s = 0.0
    evaluations = search.budget.evaluations
    assert evaluations is not None
    assert search.best_homes_T is not None
    if exact is not None:
        nodes = max(1, evaluations // EVALUATIONS_PER_NODE)
        solved = solve_program(exact.program, Limits(nodes=nodes))
        bound_s = exact.lower_bound_s(solved)
        offer_solution(search, exact, solved, search.best_homes_T)
        improvement.migrate()
    while not search.exhausted and search.best_s > (1 + PROVEN_GAP) * bound_s:
        improvement.turn()
    return bound_s


def _run_together(
    search: Search, exact: ExactProgram | None, improvement: Improvement, seconds: float
) -> float:
    """Solver beside local search; returns the bound."""
    if exact is None:
        while not search.exhausted:
            improvement.turn()
        return 0.0
    limits = Limits(seconds=SOLVER_SHARE * max(0.1, seconds - search.seconds))
    with BackgroundSolve(exact.program, limits) as solve:
        return _alternate(search, exact, solve, improvement, seconds)


def _alternate(
    search: Search,
    exact: ExactProgram,
    solve: BackgroundSolve,
    improvement: Improvement,
    seconds: float,
) -> float:
    bound_s = exact.floor_s
    solved: Solved | None = None
    stale = 0
    while not search.exhausted and search.best_s > (1 + PROVEN_GAP) * bound_s:
        before = search.best_s
        improvement.turn()
        if solved is None:
            solved = solve.wait(0.0)
            if solved is not None:
                bound_s = max(bound_s, exact.lower_bound_s(solved))
                assert search.best_homes_T is not None
                offer_solution(search, exact, solved, search.best_homes_T)
                improvement.migrate()
                search.progress("bound proven", search.best_s)
        stale = 0 if search.best_s < before else stale + 1
        if solved is not None and solved.optimal and stale >= STALE_TURNS:
            break
    if solved is None and search.best_s > (1 + PROVEN_GAP) * bound_s:
        solved = solve.wait(max(GRACE_SECONDS, seconds - search.seconds))
    return max(bound_s, exact.lower_bound_s(solved)) if solved is not None else bound_s
