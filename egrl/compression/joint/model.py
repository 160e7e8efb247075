"""Precision and placement as one mixed-integer program.

It is `egrl/placers/exact_model.py` with a choice of precision for each product (axes: S products,
P precisions; others as there):

- `z[s, p]` binary: product s has precision p; one of them for each product;
- `x[t, h]` binary, for the tensors of every precision (the plain weight; integers, scales): a
  tensor that belongs to one precision has a home only where that is chosen;
- `w[i, c]` continuous: combinations c of an op run over its precisions and, for each, over the
  homes of the tensors that it then has; those of precision p sum to `z[s, p]`;
- the squared errors of the choices sum to no more than the budget's, their bytes to no more than
  allowed.

Like the program that it extends it is a relaxation of the engine, so its optimum is a lower bound
of the latency of any such choice and placement.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.compression.joint.costs import ChoiceCosts
from egrl.placers.exact_model import LinearModel, OpColumns, add_capacity, add_streams
from egrl.placers.milp import Program
from egrl.placers.op_hull import OpHull, floor_seconds, op_table, project, undecided_tensors
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import Tensor

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a choice has to keep to.

    Attributes:
        error: root of the largest sum of squared errors; infinite where there is no bound.
        weight_bytes: most bytes of all weights; None where there is no bound.
    """

    error: float
    weight_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class JointModel:
    """The program and where its decisions are.

    Attributes:
        program: rows and columns.
        time_unit_s: seconds per unit of the objective.
        choice_columns_SP: columns of z.
        home_columns: by tensor name, (home, column) pairs.
    """

    program: Program
    time_unit_s: float
    choice_columns_SP: tuple[tuple[int, ...], ...]
    home_columns: dict[str, tuple[tuple[int, int], ...]]

    def choice(self, values: F64) -> tuple[int, ...]:
        """The precision of each product in a solution."""
        return tuple(
            int(np.argmax([round(float(values[column]), 6) for column in columns]))
            for columns in self.choice_columns_SP
        )

    def homes(self, values: F64) -> dict[str, int]:
        """Homes by tensor name in a solution, of the tensors that have one."""
        found: dict[str, int] = {}
        for name, pairs in self.home_columns.items():
            home, column = max(pairs, key=lambda p: (round(float(values[p[1]]), 6), -p[0]))
            if values[column] > 0.5:
                found[name] = home
        return found


def build_joint_model(
    problems: Sequence[PlacementProblem],
    costs: ChoiceCosts,
    bounds: Bounds,
    max_columns: int,
) -> JointModel:
    """The program of a model that is lowered in every precision.

    Args:
        problems: one for each precision, all products in it; the same ops.
        costs: which op each product is, and the error and bytes of its choices.
        bounds: to keep to.
        max_columns: of combinations.

    Raises:
        UnmetRequirementError: it would have more combinations than `max_columns`.
    """
    union = _union(problems, costs)
    hulls = _merged_hulls(problems, costs, union)
    count = sum(len(merged.hull.early_C) for merged in hulls)
    if count > max_columns:
        raise UnmetRequirementError(
            f"joint: the program has {count} combinations, expected at most {max_columns}"
        )
    base = problems[0]
    time_unit_s = max(floor_seconds(base) / max(1, base.op_count), 1e-12)
    linear = LinearModel()
    choice_SP = _add_choices(linear, costs, bounds)
    decided = sorted({tensor for merged in hulls for tensor in merged.hull.tensors})
    home_columns: dict[int, list[tuple[int, int]]] = {}
    for tensor in decided:
        homes = np.flatnonzero(union.problem.allowed_TH[tensor]).tolist()
        if not homes:
            continue  # It has one home where it is at all.
        home_columns[tensor] = [(home, linear.column(0.0, 1.0, True)) for home in homes]
        lower = 0.0 if tensor in union.optional else 1.0
        linear.row([(column, 1.0) for _, column in home_columns[tensor]], lower, 1.0)
    ring = linear.column(0.0, 1.0, True)
    add_capacity(union.problem, linear, home_columns, ring)
    choice_of_op = {
        op: columns
        for ops, columns in zip(costs.ops_of_product, choice_SP, strict=True)
        for op in ops
    }
    columns = [
        _add_op(linear, merged, home_columns, union.optional, choice_of_op.get(op), time_unit_s)
        for op, merged in enumerate(hulls)
    ]
    add_streams(union.problem, linear, [m.hull for m in hulls], columns, ring, time_unit_s)
    names = union.problem.workload.tensors
    return JointModel(
        linear.program(),
        time_unit_s,
        choice_SP,
        {names[tensor].name: tuple(pairs) for tensor, pairs in home_columns.items()},
    )


@dataclass(frozen=True, slots=True)
class _Union:
    """Tensors of all precisions in one table.

    Attributes:
        problem: whose tensors they are; prices are the first precision's.
        index_of: for each precision, the place of its tensors in the table.
        optional: tensors that some choice does without.
    """

    problem: PlacementProblem
    index_of: tuple[NDArray[np.int64], ...]
    optional: frozenset[int]


def _union(problems: Sequence[PlacementProblem], costs: ChoiceCosts) -> _Union:
    tensors: list[Tensor] = []
    place: dict[str, int] = {}
    rows: list[tuple[int, int]] = []
    users: list[int] = []
    index_of = []
    for p, problem in enumerate(problems):
        index = np.zeros(problem.tensor_count, np.int64)
        for t, tensor in enumerate(problem.workload.tensors):
            if tensor.name not in place:
                place[tensor.name] = len(tensors)
                tensors.append(tensor)
                rows.append((p, t))
                users.append(0)
            index[t] = place[tensor.name]
            users[place[tensor.name]] += 1
        index_of.append(index)
    base = problems[0]
    arrays = replace(
        base.arrays,
        size_bytes_TH=np.stack([problems[p].arrays.size_bytes_TH[t] for p, t in rows]),
        start_T=np.array([problems[p].arrays.start_T[t] for p, t in rows], np.int64),
        end_T=np.array([problems[p].arrays.end_T[t] for p, t in rows], np.int64),
    )
    problem = replace(
        base,
        workload=replace(base.workload, tensors=tuple(tensors)),
        allowed_TH=np.stack([problems[p].allowed_TH[t] for p, t in rows]),
        arrays=arrays,
    )
    optional = frozenset(t for t, count in enumerate(users) if count < len(problems))
    for t in optional:
        # Without a choice of homes it is no decision, and must not count as always there.
        if problem.allowed_TH[t].sum() == 1:
            problem.allowed_TH[t] = False
    return _Union(problem, tuple(index_of), optional)


@dataclass(frozen=True, slots=True)
class _Merged:
    """Combinations of one op over all of its precisions.

    Attributes:
        hull: tensors are places in the union's table; a combination has home -1 for a tensor
            that its precision does without.
        precision_C: of each combination.
    """

    hull: OpHull
    precision_C: NDArray[np.int64]


def _merged_hulls(
    problems: Sequence[PlacementProblem], costs: ChoiceCosts, union: _Union
) -> list[_Merged]:
    tables = [[op_table(problem, op) for op in range(problem.op_count)] for problem in problems]
    places = [
        frozenset(index[list(undecided_tensors(problem, table))].tolist())
        for problem, table, index in zip(problems, tables, union.index_of, strict=True)
    ]
    # A tensor that matters in one precision is decided in all.
    seen = [frozenset(index.tolist()) for index in union.index_of]
    matters = frozenset(t for all_, few in zip(seen, places, strict=True) for t in all_ - few)
    products = frozenset(op for ops in costs.ops_of_product for op in ops)
    merged = []
    for op in range(problems[0].op_count):
        hulls = []
        for p, problem in enumerate(problems):
            if p and op not in products:
                break
            index = union.index_of[p]
            undecided = frozenset(t for t in tables[p][op].tensors if index[t] not in matters)
            hull = project(problem, tables[p][op], undecided)
            hulls.append(replace(hull, tensors=tuple(int(index[t]) for t in hull.tensors)))
        merged.append(_merge(hulls))
    return merged


def _merge(hulls: Sequence[OpHull]) -> _Merged:
    tensors = tuple(dict.fromkeys(t for hull in hulls for t in hull.tensors))
    homes = []
    for hull in hulls:
        homes_CJ = np.full((len(hull.early_C), len(tensors)), -1, np.int64)
        for j, tensor in enumerate(hull.tensors):
            homes_CJ[:, tensors.index(tensor)] = hull.homes_CJ[:, j]
        homes.append(homes_CJ)
    return _Merged(
        OpHull(
            tensors,
            np.concatenate(homes),
            np.concatenate([hull.early_C for hull in hulls]),
            np.concatenate([hull.fill_C for hull in hulls]),
            np.concatenate([hull.own_CL for hull in hulls]),
            np.concatenate([hull.stream_CL for hull in hulls]),
            np.concatenate([hull.density_CL for hull in hulls]),
        ),
        np.repeat(np.arange(len(hulls)), [len(hull.early_C) for hull in hulls]),
    )


def _add_choices(
    linear: LinearModel, costs: ChoiceCosts, bounds: Bounds
) -> tuple[tuple[int, ...], ...]:
    """z, and the rows of the budgets, in units of the budgets."""
    precisions = range(costs.error_squared_SP.shape[1])
    columns_SP = tuple(
        tuple(linear.column(0.0, 1.0, True) for _ in precisions) for _ in costs.ops_of_product
    )
    for columns in columns_SP:
        linear.row([(column, 1.0) for column in columns], 1.0, 1.0)
    if np.isfinite(bounds.error):
        unit = max(bounds.error**2, 1e-30)
        # The solver takes 1e-6 of a row for nothing; what it takes must not exceed the budget.
        _budget_row(linear, columns_SP, costs.error_squared_SP / unit, 1.0 - 2e-6)
    if bounds.weight_bytes is not None:
        left = bounds.weight_bytes - costs.other_bytes
        unit = max(1.0, float(abs(left)))
        _budget_row(linear, columns_SP, costs.bytes_SP / unit, left / unit * (1.0 - 2e-6))
    return columns_SP


def _budget_row(
    linear: LinearModel, columns_SP: tuple[tuple[int, ...], ...], cost_SP: F64, most: float
) -> None:
    linear.row(
        [
            (column, float(value))
            for columns, values in zip(columns_SP, cost_SP, strict=True)
            for column, value in zip(columns, values, strict=True)
        ],
        -np.inf,
        most,
    )


def _add_op(
    linear: LinearModel,
    merged: _Merged,
    home_columns: dict[int, list[tuple[int, int]]],
    optional: frozenset[int],
    choice: tuple[int, ...] | None,
    time_unit_s: float,
) -> OpColumns:
    hull = merged.hull
    duration = linear.column(1.0)
    weights = [linear.column(0.0, 1.0) for _ in range(len(hull.early_C))]
    if choice is None:
        linear.row([(column, 1.0) for column in weights], 1.0, 1.0)
    else:
        for p, column in enumerate(choice):
            members = np.flatnonzero(merged.precision_C == p)
            linear.row([*((weights[c], 1.0) for c in members), (column, -1.0)], 0.0, 0.0)
    for position, tensor in enumerate(hull.tensors):
        # Another op may need an optional tensor where this one does without.
        lower = -np.inf if tensor in optional else 0.0
        for home, column in home_columns.get(tensor, []):
            members = np.flatnonzero(hull.homes_CJ[:, position] == home)
            linear.row([*((weights[c], 1.0) for c in members), (column, -1.0)], lower, 0.0)
    terms = [(w, -e / time_unit_s) for w, e in zip(weights, hull.early_C, strict=True)]
    linear.row([(duration, 1.0), *terms], 0.0, np.inf)
    return OpColumns(duration, weights)
