"""`exact`: the mixed-integer program of `exact_model.py` in HiGHS, with a proven lower bound.

The program's placements are evaluated by the engine, so what is returned is a real latency; the
bound is the solver's dual bound, which no placement can beat.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier
from egrl.placers.acts_first import ActsFirst
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress
from egrl.placers.constructive import outermost_homes
from egrl.placers.exact_model import PlacementModel, build_model
from egrl.placers.milp import Limits, Program, Solved, solve_program
from egrl.placers.op_hull import floor_seconds
from graph_ir.errors import UnmetRequirementError

MAX_COLUMNS = 400_000
SOLVER_TOLERANCE = 1e-6
DEFAULT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ExactProgram:
    """A problem as a program, and the way back.

    Attributes:
        problem: the placement problem.
        model: its variables.
        program: its arrays.
        floor_s: the bound that holds without solving anything.
    """

    problem: PlacementProblem
    model: PlacementModel
    program: Program
    floor_s: float

    def lower_bound_s(self, solved: Solved) -> float:
        """The proven bound in seconds, the solver's own tolerance taken off."""
        return max(self.floor_s, solved.bound * self.model.time_unit_s * (1 - SOLVER_TOLERANCE))

    def homes(self, solved: Solved, fallback_T: NDArray[np.int8]) -> NDArray[np.int8] | None:
        """The placement of a solution; undecided tensors keep the homes of `fallback_T`."""
        if not len(solved.values):
            return None
        homes_T = fallback_T.copy()
        for tensor, pairs in self.model.home_columns.items():
            homes_T[tensor] = max(pairs, key=lambda p: (round(solved.values[p[1]], 6), -p[0]))[0]
        return homes_T


def exact_program(problem: PlacementProblem, start_T: NDArray[np.int8]) -> ExactProgram:
    """Build the program, starting from a placement; one that does not fit is of no use to it.

    Raises:
        UnmetRequirementError: the program would be too large.
    """
    model = build_model(problem, MAX_COLUMNS)
    pairs = [
        (column, 1.0 if home == start_T[tensor] else 0.0)
        for tensor, columns in model.home_columns.items()
        for home, column in columns
    ]
    program = model.linear.program(pairs)
    return ExactProgram(problem, model, program, floor_seconds(problem))


def offer_solution(
    search: Search, exact: ExactProgram, solved: Solved, fallback_T: NDArray[np.int8]
) -> None:
    """Offer a solution's placement to a search, moved where undecided tensors overflow."""
    homes_T = exact.homes(solved, fallback_T)
    if homes_T is None:
        return
    rectifier = build_rectifier(exact.problem)
    batch = rectifier.batch(homes_T[np.newaxis, :])
    if batch.fits_P[0]:
        latency_s, _ = evaluate(exact.problem, batch.homes_PT[0])
        search.evaluations += 1
        offer_addressable(search, rectifier, batch.homes_PT[0], latency_s)


@dataclass(frozen=True, slots=True)
class Exact(Placer):
    """Branch and bound on the placement program; see the module."""

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """Solve within the budget (an evaluation counts as a node)."""
        search = Search(problem, budget, progress)
        start_T = outermost_homes(problem).astype(np.int8)
        try:
            start_T = ActsFirst().place(problem, Budget(evaluations=1), rng).homes_T
            search.try_placement(start_T)
        except UnmetRequirementError:
            progress("no placement to start from", np.inf)
        exact = exact_program(problem, start_T)
        seconds = budget.seconds or 0.0
        if budget.evaluations is None and budget.seconds is None:
            seconds = DEFAULT_SECONDS
        solved = solve_program(exact.program, Limits(seconds, budget.evaluations or 0))
        if solved.infeasible:
            raise UnmetRequirementError("exact: no placement fits the capacities")
        offer_solution(search, exact, solved, start_T)
        return search.result(exact.lower_bound_s(solved))
