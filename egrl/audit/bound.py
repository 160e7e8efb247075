"""The proven bound: the placement problem as a mixed-integer linear program in HiGHS.

With `x[t, m] = 1` where tensor *t* lives in tier *m*:

    minimise   sum over ops of time
    subject to sum over m of x[t, m] = 1                                   every tensor
               sum over t live at i of size[t] * x[t, m] <= capacity[m]    every op i, tier m
               and the time of each op, by its kind of rule, either
    additive:  base + sum of extra[t, m] * x[t, m], straight in the objective;
    streams:   fixed + time[i], with time[i] >= compute and
               time[i] >= sum over its streams of seconds[t, m] * x[t, m]  every tier m;
    table:     sum of seconds[c] * y[c] over the combinations c of homes, with
               sum over c that put t into m of y[c] = x[t, m]              every t of the op, m
               (so that the y of an op sum to 1), which is the tightest description of a single
               op that there is. Stream ops can be written this way too: many columns, and a
               relaxation that is close to the optimum.

Capacity rows are written for the ops at which the set of live tensors is not part of another's.
The optimum of the program is the optimum of the problem; what the solver proves when its time is
up is a lower bound for every plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from egrl.audit.bound_model import LinearProgram
from egrl.audit.cost import CostTable
from egrl.audit.state import is_feasible

if TYPE_CHECKING:
    import highspy

SOLVER_SLACK = 1e-6
"""The solver's own tolerances, relative; every bound that it proves is lowered by it."""

MIN_SOLVER_S = 0.05
WHOLE_SHARE = 0.999


@dataclass(frozen=True, slots=True)
class Relaxation:
    """The program with fractions allowed.

    Attributes:
        seconds: no feasible plan is faster; 0 where the time was up before anything was proven.
        infeasible: True where not even fractions fit, so that no plan does.
        shares: for each tensor the fraction that each tier holds, or None.
    """

    seconds: float
    infeasible: bool
    shares: list[list[float]] | None


@dataclass(frozen=True, slots=True)
class Branched:
    """The program with whole tensors.

    Attributes:
        seconds: no feasible plan is faster; 0 where nothing was proven.
        infeasible: True where no plan fits.
        finished: True where the requested gap was reached within the time.
        homes: the best plan found, checked to be feasible, or None.
    """

    seconds: float
    infeasible: bool
    finished: bool
    homes: tuple[int, ...] | None


def floor_seconds(table: CostTable) -> float:
    """Each op with the best homes for it alone, capacity ignored."""
    return sum(rule.least(table.allowed_T) for rule in table.rules_N)


def relax(table: CostTable, program: LinearProgram, time_limit_s: float) -> Relaxation:
    """Solves the linear relaxation."""
    import highspy

    highs = _solver(program, time_limit_s, integers=False)
    highs.run()
    status = highs.getModelStatus()
    if status in _infeasible_statuses():
        return Relaxation(0.0, True, None)
    if status != highspy.HighsModelStatus.kOptimal:
        return Relaxation(0.0, False, None)
    values = np.asarray(highs.getSolution().col_value)
    shares = [[0.0] * len(table.tier_names_M) for _ in table.allowed_T]
    for tensor, tiers in enumerate(table.allowed_T):
        for tier in tiers:
            column = program.homes_column.get((tensor, tier))
            shares[tensor][tier] = 1.0 if column is None else float(values[column])
    objective = float(highs.getInfo().objective_function_value)
    return Relaxation(_lowered(objective) * program.unit_s, False, shares)


def dive(
    table: CostTable,
    program: LinearProgram,
    shares: Sequence[Sequence[float]],
    relative_gap: float,
    time_limit_s: float,
) -> tuple[int, ...] | None:
    """The best plan that keeps the tensors which the relaxation puts wholly into one tier.

    What is left to choose is small, so that this is quick; it proves nothing.
    """
    highs = _solver(program, time_limit_s, integers=True)
    _set(highs, "mip_rel_gap", relative_gap)
    for (tensor, tier), column in program.homes_column.items():
        if shares[tensor][tier] >= WHOLE_SHARE:
            highs.changeColBounds(column, 1.0, 1.0)
    highs.run()
    return _found_homes(table, program, highs)


def branch(
    table: CostTable,
    program: LinearProgram,
    known: Sequence[int] | None,
    relative_gap: float,
    time_limit_s: float,
) -> Branched:
    """Solves the program as far as gap and time allow.

    Single-threaded with a fixed seed: equal runs that stop on the gap give equal answers.

    Args:
        table: the problem.
        program: its columns and rows.
        known: a feasible plan to start from, or None.
        relative_gap: stop when the best plan is proven to be this close to the bound.
        time_limit_s: of the solver.
    """
    import highspy

    highs = _solver(program, time_limit_s, integers=True)
    _set(highs, "mip_rel_gap", relative_gap)
    if known is not None:
        start = highspy.HighsSolution()
        start.col_value = program.point(table, known)
        highs.setSolution(start)
    highs.run()
    status = highs.getModelStatus()
    if status in _infeasible_statuses():
        return Branched(0.0, True, True, None)
    info = highs.getInfo()
    dual = info.mip_dual_bound if program.has_integers else info.objective_function_value
    proven = _lowered(float(dual)) * program.unit_s if np.isfinite(dual) else 0.0
    finished = status == highspy.HighsModelStatus.kOptimal
    return Branched(max(0.0, proven), False, finished, _found_homes(table, program, highs))


def _found_homes(
    table: CostTable, program: LinearProgram, highs: highspy.Highs
) -> tuple[int, ...] | None:
    """The solver's plan, if it has one that our own check finds feasible."""
    import highspy

    if highs.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None
    homes = program.homes(table, np.asarray(highs.getSolution().col_value))
    return homes if is_feasible(table, homes) else None


def _infeasible_statuses() -> tuple[highspy.HighsModelStatus, ...]:
    """Every program has a lower bound of 0, so that "unbounded or infeasible" is infeasible."""
    import highspy

    return (
        highspy.HighsModelStatus.kInfeasible,
        highspy.HighsModelStatus.kUnboundedOrInfeasible,
    )


def _lowered(objective: float) -> float:
    return objective - SOLVER_SLACK * max(1.0, abs(objective))


def _set(highs: highspy.Highs, option: str, value: bool | int | float | str) -> None:
    import highspy

    if highs.setOptionValue(option, value) != highspy.HighsStatus.kOk:
        raise RuntimeError(f"HiGHS refused the option {option}={value}")


def _solver(program: LinearProgram, time_limit_s: float, *, integers: bool) -> highspy.Highs:
    import highspy

    lp = highspy.HighsLp()
    lp.num_col_ = program.column_count
    lp.num_row_ = program.row_count
    lp.col_cost_ = program.cost
    lp.col_lower_ = program.column_lower
    lp.col_upper_ = program.column_upper
    lp.row_lower_ = program.row_lower
    lp.row_upper_ = program.row_upper
    lp.offset_ = program.offset
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = program.row_start
    lp.a_matrix_.index_ = program.row_columns
    lp.a_matrix_.value_ = program.row_values
    if integers:
        lp.integrality_ = [
            highspy.HighsVarType.kInteger if integer else highspy.HighsVarType.kContinuous
            for integer in program.is_integer
        ]
    highs = highspy.Highs()
    _set(highs, "output_flag", False)
    _set(highs, "threads", 1)
    _set(highs, "parallel", "off")
    _set(highs, "random_seed", 0)
    _set(highs, "time_limit", max(MIN_SOLVER_S, time_limit_s))
    if highs.passModel(lp) == highspy.HighsStatus.kError:
        raise RuntimeError("HiGHS refused the placement program")
    return highs
