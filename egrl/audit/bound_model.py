"""Writes the placement problem as rows and columns; see `egrl.audit.bound` for the formulas."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egrl.audit.cost import AdditiveRule, CostTable, Rule, StreamRule


@dataclass(frozen=True, slots=True)
class OpColumns:
    """The columns of one op.

    Attributes:
        op: index.
        time_column: of a stream op, or None.
        combinations: column by homes of the op's tensors, of an op written as a table.
    """

    op: int
    time_column: int | None
    combinations: dict[tuple[int, ...], int]


@dataclass(frozen=True, slots=True)
class ResidentColumn:
    """Share of a tier that tensors live at every op take.

    Attributes:
        column: index.
        tier: index.
        tensors: the unpinned tensors that are live throughout and may live there.
        unit: bytes of 1.
    """

    column: int
    tier: int
    tensors: tuple[int, ...]
    unit: float


@dataclass(frozen=True, slots=True)
class LinearProgram:
    """A program in HiGHS's row-wise form; its objective counts in units of `unit_s` seconds.

    Attributes:
        unit_s: seconds of one unit of the objective.
        offset: constant part of the objective, in units.
        cost: objective coefficient of each column.
        column_lower: lower bounds.
        column_upper: upper bounds.
        is_integer: whether a column is integer.
        row_lower: lower sides.
        row_upper: upper sides.
        row_start: first entry of each row, and the number of entries.
        row_columns: column of each entry.
        row_values: value of each entry.
        homes_column: column by (tensor, tier).
        ops: columns of the ops that have any.
        residents: the column of each bounded tier for what is live throughout.
    """

    unit_s: float
    offset: float
    cost: NDArray[np.float64]
    column_lower: NDArray[np.float64]
    column_upper: NDArray[np.float64]
    is_integer: tuple[bool, ...]
    row_lower: NDArray[np.float64]
    row_upper: NDArray[np.float64]
    row_start: NDArray[np.int32]
    row_columns: NDArray[np.int32]
    row_values: NDArray[np.float64]
    homes_column: dict[tuple[int, int], int]
    ops: tuple[OpColumns, ...]
    residents: tuple[ResidentColumn, ...]

    @property
    def column_count(self) -> int:
        """Columns."""
        return len(self.cost)

    @property
    def row_count(self) -> int:
        """Rows."""
        return len(self.row_lower)

    @property
    def has_integers(self) -> bool:
        """Whether anything is left to choose."""
        return any(self.is_integer)

    def homes(self, table: CostTable, values: NDArray[np.float64]) -> tuple[int, ...]:
        """The plan that a point stands for: for each tensor the tier with the largest value."""
        return tuple(
            tiers[0]
            if len(tiers) == 1
            else max(tiers, key=lambda m, t=t: float(values[self.homes_column[t, m]]))  # type: ignore[misc]
            for t, tiers in enumerate(table.allowed_T)
        )

    def point(self, table: CostTable, homes: Sequence[int]) -> list[float]:
        """The values of all columns for a plan."""
        values = [0.0] * self.column_count
        for (tensor, tier), column in self.homes_column.items():
            values[column] = float(homes[tensor] == tier)
        for op in self.ops:
            rule = table.rules_N[op.op]
            if op.time_column is not None and isinstance(rule, StreamRule):
                values[op.time_column] = (rule.seconds(homes) - rule.fixed_s) / self.unit_s
            for key, column in op.combinations.items():
                here = tuple(homes[tensor] for tensor in rule.tensors)
                values[column] = float(key == here)
        for resident in self.residents:
            values[resident.column] = sum(
                table.size_bytes_T[t] / resident.unit
                for t in resident.tensors
                if homes[t] == resident.tier
            )
        return values


class _Builder:
    """Columns and rows as they come."""

    def __init__(self) -> None:
        self.cost: list[float] = []
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.integer: list[bool] = []
        self.row_lower: list[float] = []
        self.row_upper: list[float] = []
        self.row_start: list[int] = [0]
        self.columns: list[int] = []
        self.values: list[float] = []
        self.offset = 0.0

    def column(self, cost: float, lower: float, upper: float, integer: bool) -> int:
        self.cost.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        self.integer.append(integer)
        return len(self.cost) - 1

    def row(self, lower: float, upper: float, entries: Sequence[tuple[int, float]]) -> None:
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        self.columns.extend(column for column, _ in entries)
        self.values.extend(value for _, value in entries)
        self.row_start.append(len(self.columns))


def build_program(
    table: CostTable, scale_s: float, table_limit: int, max_entries: int
) -> LinearProgram | None:
    """Builds the program, or None where it would have more than `max_entries` entries.

    Args:
        table: the problem.
        scale_s: about the latency to expect; sets the unit so that an op takes about 1.
        table_limit: stream ops with at most this many combinations are written as tables.
        max_entries: of the matrix.
    """
    unit_s = scale_s / len(table.rules_N) if scale_s > 0 else 1.0
    builder = _Builder()
    homes_column = {
        (tensor, tier): builder.column(0.0, 0.0, 1.0, True)
        for tensor, tiers in enumerate(table.allowed_T)
        if len(tiers) > 1
        for tier in tiers
    }
    for tensor, tiers in enumerate(table.allowed_T):
        if len(tiers) > 1:
            builder.row(1.0, 1.0, [(homes_column[tensor, tier], 1.0) for tier in tiers])
    ops: list[OpColumns] = []
    for number, rule in enumerate(table.rules_N):
        columns = _op(table, number, rule, builder, homes_column, unit_s, table_limit)
        if columns is not None:
            ops.append(columns)
        if len(builder.columns) > max_entries:
            return None
    residents = _capacity_rows(table, builder, homes_column, max_entries)
    if residents is None:
        return None
    return LinearProgram(
        unit_s=unit_s,
        offset=builder.offset,
        cost=np.array(builder.cost, dtype=np.float64),
        column_lower=np.array(builder.lower, dtype=np.float64),
        column_upper=np.array(builder.upper, dtype=np.float64),
        is_integer=tuple(builder.integer),
        row_lower=np.array(builder.row_lower, dtype=np.float64),
        row_upper=np.array(builder.row_upper, dtype=np.float64),
        row_start=np.array(builder.row_start, dtype=np.int32),
        row_columns=np.array(builder.columns, dtype=np.int32),
        row_values=np.array(builder.values, dtype=np.float64),
        homes_column=homes_column,
        ops=tuple(ops),
        residents=residents,
    )


def _op(
    table: CostTable,
    number: int,
    rule: Rule,
    builder: _Builder,
    homes_column: dict[tuple[int, int], int],
    unit_s: float,
    table_limit: int,
) -> OpColumns | None:
    """Adds one op; None where it takes no columns of its own."""
    if isinstance(rule, AdditiveRule):
        builder.offset += rule.base_s / unit_s
        for tensor, row in zip(rule.tensors, rule.rows, strict=True):
            tiers = table.allowed_T[tensor]
            if len(tiers) == 1:
                builder.offset += row[tiers[0]] / unit_s
            else:
                for tier in tiers:
                    builder.cost[homes_column[tensor, tier]] += row[tier] / unit_s
        return None
    if isinstance(rule, StreamRule) and table.combinations(rule) > table_limit:
        return _stream_op(table, number, rule, builder, homes_column, unit_s)
    times = table.enumerate_times(rule)
    least, most = min(times.values()), max(times.values())
    if most - least <= 1e-12 * most:
        builder.offset += least / unit_s
        return None
    builder.offset += least / unit_s
    combinations = {
        key: builder.column((seconds - least) / unit_s, 0.0, 1.0, False)
        for key, seconds in times.items()
    }
    for place, tensor in enumerate(rule.tensors):
        tiers = table.allowed_T[tensor]
        if len(tiers) == 1:
            continue
        for tier in tiers:
            entries = [(c, 1.0) for key, c in combinations.items() if key[place] == tier]
            builder.row(0.0, 0.0, [*entries, (homes_column[tensor, tier], -1.0)])
    return OpColumns(number, None, combinations)


def _stream_op(
    table: CostTable,
    number: int,
    rule: StreamRule,
    builder: _Builder,
    homes_column: dict[tuple[int, int], int],
    unit_s: float,
) -> OpColumns | None:
    builder.offset += rule.fixed_s / unit_s
    rows: list[list[tuple[int, float]]] = []
    longest_s = rule.compute_s
    fixed_loads = [0.0] * rule.tier_count
    for tier in range(rule.tier_count):
        entries: list[tuple[int, float]] = []
        load_s = 0.0
        for tensor, row in zip(rule.tensors, rule.rows, strict=True):
            tiers = table.allowed_T[tensor]
            if tier not in tiers:
                continue
            load_s += row[tier]
            if len(tiers) == 1:
                fixed_loads[tier] += row[tier]
            elif row[tier] > 0:
                entries.append((homes_column[tensor, tier], -row[tier] / unit_s))
        longest_s = max(longest_s, load_s)
        rows.append(entries)
    least_s = rule.least(table.allowed_T)
    if longest_s <= least_s - rule.fixed_s:
        builder.offset += (least_s - rule.fixed_s) / unit_s
        return None
    time = builder.column(1.0, (least_s - rule.fixed_s) / unit_s, float("inf"), False)
    for tier, entries in enumerate(rows):
        if entries:
            builder.row(fixed_loads[tier] / unit_s, float("inf"), [(time, 1.0), *entries])
    return OpColumns(number, time, {})


def _capacity_rows(
    table: CostTable,
    builder: _Builder,
    homes_column: dict[tuple[int, int], int],
    max_entries: int,
) -> tuple[ResidentColumn, ...] | None:
    """Adds a row per bounded tier and maximal live set; None where that is too many entries."""
    op_count = len(table.rules_N)
    size = table.size_bytes_T
    columns: list[ResidentColumn] = []
    for tier, capacity in enumerate(table.capacity_bytes_M):
        if capacity is None:
            continue
        unit = float(max(1, capacity))
        members = [t for t, tiers in enumerate(table.allowed_T) if tier in tiers]
        lasting = [t for t in members if table.end_T[t] - table.start_T[t] == op_count]
        passing = [t for t in members if table.end_T[t] - table.start_T[t] < op_count]
        free_lasting = [t for t in lasting if (t, tier) in homes_column]
        fixed_lasting = sum(size[t] for t in lasting if (t, tier) not in homes_column)
        most_lasting = sum(size[t] for t in free_lasting)
        # What is live throughout is summed once, in a column that every row of the tier uses.
        total = builder.column(0.0, 0.0, most_lasting / unit, False)
        entries = [(homes_column[t, tier], -size[t] / unit) for t in free_lasting]
        builder.row(0.0, 0.0, [(total, 1.0), *entries])
        columns.append(ResidentColumn(total, tier, tuple(free_lasting), unit))
        for live in maximal_live_sets(table, passing) if passing else iter(((),)):
            fixed = fixed_lasting + sum(size[t] for t in live if (t, tier) not in homes_column)
            free = [t for t in live if (t, tier) in homes_column]
            if len(builder.columns) + len(free) > max_entries:
                return None
            if fixed + most_lasting + sum(size[t] for t in free) <= capacity:
                continue
            entries = [(homes_column[t, tier], size[t] / unit) for t in free]
            builder.row(-float("inf"), (capacity - fixed) / unit, [(total, 1.0), *entries])
    return tuple(columns)


def maximal_live_sets(table: CostTable, members: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The sets of `members` live at some op that are not part of the set of another op.

    The set just before some tensor dies is one of them if any tensor was born since the last
    death.
    """
    births: dict[int, list[int]] = {}
    deaths: dict[int, list[int]] = {}
    for tensor in members:
        births.setdefault(table.start_T[tensor], []).append(tensor)
        deaths.setdefault(table.end_T[tensor], []).append(tensor)
    live: dict[int, None] = {}
    grown = False
    for moment in sorted(births.keys() | deaths.keys()):
        if moment in deaths:
            if grown:
                yield tuple(live)
            grown = False
            for tensor in deaths[moment]:
                del live[tensor]
        for tensor in births.get(moment, ()):
            live[tensor] = None
            grown = True
