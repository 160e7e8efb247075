"""`exact`: the mixed-integer program of `exact_model.py` in HiGHS, with a proven lower bound.

The program's placements are evaluated by the engine, so what is returned is a real latency; the
bound is the solver's dual bound, which no placement can beat.
"""

from dataclasses import dataclass

import highspy
import numpy as np
from accelerator_sim.rectify import rectify
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress
from egrl.placers.exact_model import PlacementModel, build_model
from egrl.placers.op_hull import floor_seconds
from graph_ir.errors import UnmetRequirementError

MAX_COLUMNS = 400_000
DEFAULT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ExactSolution:
    """What the solver says.

    Attributes:
        homes_T: the program's best placement, or None.
        lower_bound_s: proven.
        optimal: whether the program was solved to its end.
    """

    homes_T: NDArray[np.int8] | None
    lower_bound_s: float
    optimal: bool


def solve(
    problem: PlacementProblem,
    seconds: float | None,
    nodes: int | None,
    start_T: NDArray[np.int8],
    relative_gap: float = 1e-4,
) -> ExactSolution:
    """Solve the program.

    Args:
        problem: the placement problem.
        seconds: wall-time limit, or None.
        nodes: limit on branch-and-bound nodes, or None; with it alone the result is the same on
            any machine.
        start_T: a feasible placement to start from; undecided tensors keep its homes.
        relative_gap: stop when the program's own gap is below this.

    Raises:
        UnmetRequirementError: the program is too large to build.
    """
    floor_s = floor_seconds(problem)
    model = build_model(problem)
    if len(model.linear.cost) > MAX_COLUMNS:
        raise UnmetRequirementError(
            f"exact: the program has {len(model.linear.cost)} columns, expected at most "
            f"{MAX_COLUMNS}"
        )
    solver = _solver(model, seconds, nodes, relative_gap)
    _give_start(solver, model, start_T)
    solver.run()
    status = solver.getModelStatus()
    info = solver.getInfo()
    if status == highspy.HighsModelStatus.kInfeasible:
        raise UnmetRequirementError("exact: no placement fits the capacities")
    bound = info.mip_dual_bound * model.time_unit_s
    lower_bound_s = max(floor_s, bound if np.isfinite(bound) else 0.0)
    homes_T = None
    if info.primal_solution_status == 2:
        homes_T = _read_homes(model, np.array(solver.getSolution().col_value), start_T)
    return ExactSolution(homes_T, lower_bound_s, status == highspy.HighsModelStatus.kOptimal)


def _solver(
    model: PlacementModel, seconds: float | None, nodes: int | None, relative_gap: float
) -> highspy.Highs:
    linear = model.linear
    program = highspy.HighsLp()
    program.num_col_ = len(linear.cost)
    program.num_row_ = len(linear.row_lower)
    program.col_cost_ = np.array(linear.cost)
    program.col_lower_ = np.zeros(len(linear.cost))
    program.col_upper_ = np.array(linear.column_upper)
    program.row_lower_ = np.array(linear.row_lower)
    program.row_upper_ = np.array(linear.row_upper)
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.array(linear.row_start)
    program.a_matrix_.index_ = np.array(linear.row_index)
    program.a_matrix_.value_ = np.array(linear.row_value)
    program.integrality_ = [
        highspy.HighsVarType.kInteger if integer else highspy.HighsVarType.kContinuous
        for integer in linear.integer
    ]
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("random_seed", 0)
    solver.setOptionValue("mip_rel_gap", relative_gap)
    if seconds is not None:
        solver.setOptionValue("time_limit", float(seconds))
    if nodes is not None:
        solver.setOptionValue("mip_max_nodes", int(nodes))
    solver.passModel(program)
    return solver


def _give_start(solver: highspy.Highs, model: PlacementModel, start_T: NDArray[np.int8]) -> None:
    columns, values = [], []
    for tensor, pairs in model.home_columns.items():
        for home, column in pairs:
            columns.append(column)
            values.append(1.0 if home == start_T[tensor] else 0.0)
    solver.setSolution(len(columns), np.array(columns, np.int32), np.array(values))


def _read_homes(
    model: PlacementModel, values: NDArray[np.float64], start_T: NDArray[np.int8]
) -> NDArray[np.int8]:
    homes_T = start_T.copy()
    for tensor, pairs in model.home_columns.items():
        homes_T[tensor] = max(pairs, key=lambda pair: (values[pair[1]], -pair[0]))[0]
    return homes_T


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
        """Solve within the budget (an evaluation counts as a node), then repair by the engine."""
        from egrl.placers.acts_first import ActsFirst

        search = Search(problem, budget, progress)
        start = ActsFirst().place(problem, Budget(evaluations=1), rng)
        search.try_placement(start.homes_T)
        seconds = budget.seconds
        if seconds is None and budget.evaluations is None:
            seconds = DEFAULT_SECONDS
        solution = solve(problem, seconds, budget.evaluations, start.homes_T)
        if solution.homes_T is not None and search.try_placement(solution.homes_T) == np.inf:
            search.try_placement(rectify(problem, solution.homes_T).homes_T)
        return search.result(solution.lower_bound_s)
