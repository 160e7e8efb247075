"""The placement problem as a mixed-integer linear program, a relaxation of the timeline engine.

Variables (axis letters as in `accelerator_sim/problem.py`):

- `x[t, h]` binary: tensor t lives in home h;
- `y` binary: the staging ring is reserved;
- `w[i, c]` continuous: weight of combination c of the homes of op i's tensors; the marginals of w
  are the x of its tensors, so that op i is priced on the convex hull of its price table;
- `d[i]`: duration of op i; the objective is their sum;
- `f[j, i, l]`: seconds of tier l's time that op j's stream takes while op i runs, i being at most
  `prefetch_ops` before j.

What the engine does and this does not: the queue's order, latencies that late streams expose, the
ring's exact bytes per second, addresses; and tensors whose home hardly matters are left out
(`op_hull.py`). All of these only make the engine slower, so the optimum here is a proven lower
bound of the engine's latency. An op with too many free operands is priced by its least record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.placers.milp import Program
from egrl.placers.op_hull import OpHull, floor_seconds, op_hulls
from graph_ir.errors import UnmetRequirementError

MIB = float(1 << 20)


def unit_bytes(room_bytes: float) -> float:
    """What bytes of a memory are counted in: the solver takes 1e-6 of it for nothing."""
    return min(MIB, max(1.0, room_bytes))


@dataclass(slots=True)
class LinearModel:
    """Rows and columns as they are added; `lower <= a x <= upper` and column bounds."""

    cost: list[float] = field(default_factory=list)
    column_upper: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    row_start: list[int] = field(default_factory=lambda: [0])
    row_index: list[int] = field(default_factory=list)
    row_value: list[float] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)

    def column(self, cost: float = 0.0, upper: float = np.inf, integer: bool = False) -> int:
        """Add a column with lower bound 0; returns its index."""
        self.cost.append(cost)
        self.column_upper.append(upper)
        self.integer.append(integer)
        return len(self.cost) - 1

    def row(self, terms: list[tuple[int, float]], lower: float, upper: float) -> None:
        """Add a row."""
        for index, value in terms:
            self.row_index.append(index)
            self.row_value.append(value)
        self.row_start.append(len(self.row_index))
        self.row_lower.append(lower)
        self.row_upper.append(upper)

    def program(self, start: Sequence[tuple[int, float]] = ()) -> Program:
        """As flat arrays.

        Args:
            start: columns with the values of a solution to begin with.
        """
        return Program(
            cost=np.array(self.cost),
            column_upper=np.array(self.column_upper),
            integer=np.array(self.integer, np.bool_),
            row_start=np.array(self.row_start, np.int64),
            row_index=np.array(self.row_index, np.int64),
            row_value=np.array(self.row_value),
            row_lower=np.array(self.row_lower),
            row_upper=np.array(self.row_upper),
            start_columns=np.array([column for column, _ in start], np.int32),
            start_values=np.array([value for _, value in start], np.float64),
        )


@dataclass(frozen=True, slots=True)
class PlacementModel:
    """The program and where its placement variables are.

    Attributes:
        linear: rows and columns; times in units of `time_unit_s`, sizes in MiB or
            in what a smaller memory has.
        time_unit_s: seconds per unit of the objective.
        home_columns: for each decided tensor, (home, column) pairs.
    """

    linear: LinearModel
    time_unit_s: float
    home_columns: dict[int, list[tuple[int, int]]]


def build_model(problem: PlacementProblem, max_columns: int) -> PlacementModel:
    """The program of a problem.

    Raises:
        UnmetRequirementError: it would have more columns than `max_columns`.
    """
    hulls = op_hulls(problem)
    weights = sum(len(hull.early_C) for hull in hulls)
    if weights > max_columns:
        raise UnmetRequirementError(
            f"exact: the program has more than {weights} columns, expected at most {max_columns}"
        )
    time_unit_s = max(floor_seconds(problem) / max(1, problem.op_count), 1e-12)
    linear = LinearModel()
    decided = sorted({tensor for hull in hulls for tensor in hull.tensors})
    home_columns: dict[int, list[tuple[int, int]]] = {}
    for tensor in decided:
        homes = np.flatnonzero(problem.allowed_TH[tensor]).tolist()
        home_columns[tensor] = [(home, linear.column(0.0, 1.0, True)) for home in homes]
        linear.row([(column, 1.0) for _, column in home_columns[tensor]], 1.0, 1.0)
    ring = linear.column(0.0, 1.0, True)
    add_capacity(problem, linear, home_columns, ring)
    durations = _add_ops(linear, hulls, home_columns, time_unit_s)
    add_streams(problem, linear, hulls, durations, ring, time_unit_s)
    return PlacementModel(linear, time_unit_s, home_columns)


@dataclass(frozen=True, slots=True)
class OpColumns:
    """Columns of one op: its duration and the weights of its combinations."""

    duration: int
    weights: list[int]


def _add_ops(
    linear: LinearModel,
    hulls: list[OpHull],
    home_columns: dict[int, list[tuple[int, int]]],
    time_unit_s: float,
) -> list[OpColumns]:
    result = []
    for hull in hulls:
        duration = linear.column(1.0)
        weights = [linear.column(0.0, 1.0) for _ in range(len(hull.early_C))]
        linear.row([(column, 1.0) for column in weights], 1.0, 1.0)
        for position, tensor in enumerate(hull.tensors):
            for home, column in home_columns[tensor]:
                members = np.flatnonzero(hull.homes_CJ[:, position] == home)
                terms = [(weights[c], 1.0) for c in members]
                linear.row([*terms, (column, -1.0)], 0.0, 0.0)
        terms = [(w, -e / time_unit_s) for w, e in zip(weights, hull.early_C, strict=True)]
        linear.row([(duration, 1.0), *terms], 0.0, np.inf)
        result.append(OpColumns(duration, weights))
    return result


def add_capacity(
    problem: PlacementProblem,
    linear: LinearModel,
    home_columns: dict[int, list[tuple[int, int]]],
    ring: int,
) -> None:
    """Live bytes of every tier at every op whose live set is not part of another's.

    What lives from the first op to the last is summed once per tier, in a column of its own, so
    that the rows of the ops stay short.
    """
    arrays = problem.arrays
    tiers = len(arrays.capacity_bytes_L)
    residents = [
        tensor
        for tensor in home_columns
        if arrays.start_T[tensor] == 0 and arrays.end_T[tensor] == problem.op_count
    ]
    summed = [
        _add_residents(problem, linear, home_columns, residents, ring, tier)
        for tier in range(tiers)
    ]
    home_columns = {t: pairs for t, pairs in home_columns.items() if t not in set(residents)}
    fixed_NL = np.zeros((problem.op_count + 1, tiers), np.int64)
    by_start: list[list[int]] = [[] for _ in range(problem.op_count + 1)]
    by_end: list[list[int]] = [[] for _ in range(problem.op_count + 1)]
    for tensor in range(problem.tensor_count):
        if tensor in home_columns:
            by_start[arrays.start_T[tensor]].append(tensor)
            by_end[arrays.end_T[tensor]].append(tensor)
        elif problem.allowed_TH[tensor].sum() == 1:
            home = int(problem.allowed_TH[tensor].argmax())
            size = arrays.size_bytes_TH[tensor, home]
            fixed_NL[arrays.start_T[tensor], arrays.tier_H[home]] += size
            fixed_NL[arrays.end_T[tensor], arrays.tier_H[home]] -= size
    fixed_NL = fixed_NL.cumsum(axis=0)
    live: dict[int, None] = {}
    grew = False
    for i in range(problem.op_count):
        for tensor in by_start[i]:
            live[tensor] = None
            grew = True
        grew = grew or i == 0 or bool((fixed_NL[i] > fixed_NL[i - 1]).any())
        shrinks = i + 1 == problem.op_count or bool(by_end[i + 1])
        fixed_differs = i + 1 < problem.op_count and (fixed_NL[i + 1] != fixed_NL[i]).any()
        if (grew and shrinks) or fixed_differs:
            for tier in range(tiers):
                _capacity_row(
                    problem, linear, home_columns, summed[tier], live, tier, fixed_NL[i, tier]
                )
            grew = False
        for tensor in by_end[i + 1]:
            live.pop(tensor, None)


def _add_residents(
    problem: PlacementProblem,
    linear: LinearModel,
    home_columns: dict[int, list[tuple[int, int]]],
    residents: list[int],
    ring: int,
    tier: int,
) -> tuple[int, float]:
    """A column for the bytes of a tier that are taken all the time, and the most that it can be."""
    arrays = problem.arrays
    unit = unit_bytes(arrays.capacity_bytes_L[tier])
    terms = [
        (column, float(arrays.size_bytes_TH[tensor, home]) / unit)
        for tensor in residents
        for home, column in home_columns[tensor]
        if arrays.tier_H[home] == tier
    ]
    inner = len(arrays.capacity_bytes_L) - 1
    if tier == inner and inner > 0:
        terms.append((ring, arrays.staging_bytes / unit))
    total = linear.column(0.0)
    linear.row([(total, 1.0), *((column, -value) for column, value in terms)], 0.0, 0.0)
    return total, sum(value for _, value in terms)


def _capacity_row(
    problem: PlacementProblem,
    linear: LinearModel,
    home_columns: dict[int, list[tuple[int, int]]],
    summed: tuple[int, float],
    live: dict[int, None],
    tier: int,
    fixed_bytes: int,
) -> None:
    arrays = problem.arrays
    unit = unit_bytes(arrays.capacity_bytes_L[tier])
    terms = [
        (column, float(arrays.size_bytes_TH[tensor, home]) / unit)
        for tensor in live
        for home, column in home_columns[tensor]
        if arrays.tier_H[home] == tier
    ]
    capacity = float(arrays.capacity_bytes_L[tier] - fixed_bytes) / unit
    total, most = summed
    if most + sum(value for _, value in terms) > capacity:
        linear.row([(total, 1.0), *terms], -np.inf, capacity)


def add_streams(
    problem: PlacementProblem,
    linear: LinearModel,
    hulls: list[OpHull],
    columns: list[OpColumns],
    ring: int,
    time_unit_s: float,
) -> None:
    """Tier time of every op: its own traffic and the streams that pass while it runs."""
    arrays = problem.arrays
    tiers = len(arrays.capacity_bytes_L)
    ahead = arrays.prefetch_ops
    ring_unit = unit_bytes(arrays.ring_bytes)
    passing: dict[tuple[int, int], list[int]] = {}
    late: dict[tuple[int, int], list[int]] = {}
    early: list[list[int]] = [[] for _ in hulls]
    held: list[list[tuple[int, float]]] = [[] for _ in hulls]
    for j, hull in enumerate(hulls):
        for tier in range(tiers):
            streams = np.flatnonzero(hull.stream_CL[:, tier] > 0)
            if not len(streams):
                continue
            linear.row(
                [(ring, 1.0), *((columns[j].weights[c], -1.0) for c in streams)], 0.0, np.inf
            )
            # Combinations that take up the ring alike share their parts.
            for density in np.unique(hull.density_CL[streams, tier]):
                members = streams[hull.density_CL[streams, tier] == density]
                parts = []
                for i in range(max(0, j - ahead), j + 1):
                    part = linear.column(0.0)
                    parts.append(part)
                    passing.setdefault((i, tier), []).append(part)
                    if i < j:
                        early[i].append(part)
                        for k in range(i, j + 1):
                            held[k].append((part, density * time_unit_s / ring_unit))
                    else:
                        late.setdefault((j, tier), []).append(part)
                needed = [
                    (columns[j].weights[c], -hull.stream_CL[c, tier] / time_unit_s) for c in members
                ]
                linear.row([*((part, 1.0) for part in parts), *needed], 0.0, 0.0)
    for (j, tier), parts in sorted(late.items()):
        busy_C = hulls[j].fill_C + hulls[j].own_CL[:, tier]
        own = [(w, -b / time_unit_s) for w, b in zip(columns[j].weights, busy_C, strict=True)]
        linear.row(
            [(columns[j].duration, 1.0), *((part, -1.0) for part in parts), *own], 0.0, np.inf
        )
    for (i, tier), parts in sorted(passing.items()):
        own = [(w, -o / time_unit_s) for w, o in zip(
            columns[i].weights, hulls[i].own_CL[:, tier], strict=True
        )]  # fmt: skip
        linear.row(
            [(columns[i].duration, 1.0), *((part, -1.0) for part in parts), *own], 0.0, np.inf
        )
    for i in range(len(hulls)):
        if early[i]:
            linear.row(
                [(columns[i].duration, 1.0), *((part, -1.0) for part in early[i])], 0.0, np.inf
            )
        if held[i]:
            linear.row(held[i], -np.inf, arrays.ring_bytes / ring_unit)
