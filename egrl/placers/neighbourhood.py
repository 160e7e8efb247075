"""The exact program of a few tensors, all others staying where they are.

The program is that of `exact_model.py` cut down to what the free tensors touch: the ops that use
them, priced at every combination of their homes and with everybody else at home; the ops over
which the streams of those and of the next `prefetch_ops` ops may pass; and, wherever a free tensor
is live, the bytes that the others leave. Its optimum bounds from below the time that the engine
gives these ops, whatever the free tensors do, since streams of other ops are left out and what is
left in is relaxed as in the whole program.

Nothing of the whole program is built: prices are read from the tables of the engine, and a
neighbourhood of 60 tensors takes milliseconds to write down, however large the graph is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.incremental.moves import record_of
from accelerator_sim.incremental.state import (
    FIRST_RECORD,
    FIRST_USE,
    LAST_USE,
    OP,
    RADIX,
    State,
    Tables,
)
from accelerator_sim.kernel import CORE, FILL, STREAMS
from egrl.placers.milp import Program, Solved
from egrl.placers.neighbourhood_rows import OpColumns, Rows, add_capacity, add_streams

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I8 = NDArray[np.int8]

MAX_COMBINATIONS = 256
"""Tensors that would give an op more combinations stay where they are, last picked first."""


MAX_OPS = 300
"""Tensors that would bring more ops into the program stay where they are as well."""


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The program of some tensors and the way back to a placement.

    Attributes:
        program: for the solver; times in units of `time_unit_s`.
        time_unit_s: seconds per unit of the objective.
        tensors: that the program decides, at most those that were asked for.
        home_X: home that each of the first columns stands for.
        first_T: first column of each decided tensor, and one after the last.
        ops: whose durations the objective sums up.
    """

    program: Program
    time_unit_s: float
    tensors: I64
    home_X: I64
    first_T: I64
    ops: I64

    def homes(self, solved: Solved, homes_T: I8) -> I8 | None:
        """The placement of a solution; None where the solver found none."""
        if not len(solved.values):
            return None
        result = homes_T.copy()
        for n, tensor in enumerate(self.tensors.tolist()):
            columns = slice(int(self.first_T[n]), int(self.first_T[n + 1]))
            best = int(np.round(solved.values[columns], 6).argmax())
            result[tensor] = self.home_X[columns][best]
        return result

    def bound_s(self, solved: Solved) -> float:
        """Seconds that the engine gives the ops at least, whatever the decided tensors do."""
        return solved.bound * self.time_unit_s


def build_neighbourhood(
    tables: Tables, state: State, capacity_bytes_L: I64, tensors: Sequence[int] | I64
) -> Neighbourhood | None:
    """The program of some tensors.

    Args:
        tables: of the problem.
        state: of the placement in which all others stay; it fits.
        capacity_bytes_L: of the tiers, or less.
        tensors: to decide, those that matter most first; tensors without a choice are left out.

    Returns:
        The program, or None where there is nothing to decide.
    """
    touched, decided = _touched(tables, tensors)
    if not decided:
        return None
    homes = {t: np.flatnonzero(tables.allowed_TH[t]) for t in decided}
    first_T = np.cumsum([0, *(len(homes[t]) for t in decided)])
    rows = Rows()
    rows.columns(int(first_T[-1]), 1.0)
    column = {t: int(first_T[n]) for n, t in enumerate(decided)}
    for t in decided:
        rows.row(np.arange(column[t], column[t] + len(homes[t])), np.ones(len(homes[t])), 1.0, 1.0)
    ring = rows.columns(1, 1.0)
    one = rows.columns(1, 1.0)
    rows.row([one], [1.0], 1.0, 1.0)
    add_capacity(rows, tables, state, capacity_bytes_L, homes, column, ring)
    priced = {op: _price(tables, state, op, steps, homes) for op, steps in sorted(touched.items())}
    after = _streaming(tables, state, _following(tables, state, priced))
    window = _window(tables, priced, after)
    streams = after | _streaming(tables, state, [op for op in window if op not in priced])
    time_unit_s = max(1e-12, sum(_seconds(tables, state, op) for op in window) / len(window))
    ops: dict[int, OpColumns] = {}
    for op in window:
        steps = touched.get(op, {})
        records_CF = priced.get(op, streams.get(op))
        if records_CF is None:
            records_CF = tables.table_QF[state.record_N[op]][np.newaxis, :]
        ops[op] = _add_op(rows, steps, homes, column, one, records_CF, time_unit_s)
    add_streams(rows, tables, ops, [*priced, *streams], ring, time_unit_s)
    return Neighbourhood(
        _program(rows, ops, int(first_T[-1]), homes, column, state.homes_T),
        time_unit_s,
        np.array(decided, np.int64),
        np.concatenate([homes[t] for t in decided]),
        first_T,
        np.array(window, np.int64),
    )


def _touched(
    tables: Tables, tensors: Sequence[int] | I64
) -> tuple[dict[int, dict[int, int]], list[int]]:
    """The ops that use the tensors, each with its tensors' steps in records; the tensors."""
    touched: dict[int, dict[int, int]] = {}
    decided: dict[int, None] = {}
    for t in np.asarray(tensors).tolist():
        count = int(tables.allowed_TH[t].sum())
        uses = tables.use_UF[
            tables.tensor_TF[t, FIRST_USE] : tables.tensor_TF[t, LAST_USE]
        ].tolist()
        full = any(
            count * prod(int(tables.allowed_TH[s].sum()) for s in touched.get(op, {}))
            > MAX_COMBINATIONS
            for op, _ in ((use[OP], use[RADIX]) for use in uses)
        )
        if count < 2 or full or t in decided:
            continue
        if len(touched) + sum(op not in touched for op in {use[OP] for use in uses}) > MAX_OPS:
            continue
        decided[t] = None
        for use in uses:
            steps = touched.setdefault(use[OP], {})
            steps[t] = steps.get(t, 0) + use[RADIX]
    return touched, list(decided)


@lru_cache(maxsize=1024)
def _grid(shape: tuple[int, ...]) -> I64:
    """Positions of all combinations, one row each."""
    return np.indices(shape).reshape(len(shape), -1).T.astype(np.int64)


@lru_cache(maxsize=1024)
def _members(shape: tuple[int, ...]) -> list[tuple[int, int, I64]]:
    """For each axis and position the combinations that have it."""
    grid = _grid(shape)
    return [
        (axis, position, np.flatnonzero(grid[:, axis] == position))
        for axis, count in enumerate(shape)
        for position in range(count)
    ]


def _price(
    tables: Tables, state: State, op: int, steps: dict[int, int], homes: dict[int, I64]
) -> F64:
    """The op's records at all combinations of its decided tensors' homes."""
    grid = _grid(tuple(len(homes[t]) for t in steps))
    if tables.op_MF[op, FIRST_RECORD] >= 0:
        record_C = np.full(len(grid), state.record_N[op])
        for axis, (t, step) in enumerate(steps.items()):
            record_C += step * (homes[t] - int(state.homes_T[t]))[grid[:, axis]]
        table_CF: F64 = tables.table_QF[record_C]
        return table_CF
    # An op without a table has one record of its own, which has to be as it was afterwards.
    trial_T = state.homes_T.copy()
    records_CF = np.empty((len(grid), tables.table_QF.shape[1]))
    for c, positions in enumerate(grid.tolist()):
        for t, position in zip(steps, positions, strict=True):
            trial_T[t] = homes[t][position]
        records_CF[c] = tables.table_QF[record_of(tables, trial_T, op)]
    record_of(tables, state.homes_T, op)
    return records_CF


def _following(tables: Tables, state: State, priced: dict[int, F64]) -> list[int]:
    """Other ops whose streams may pass while a priced one runs."""
    near_N = np.zeros(len(state.record_N), np.bool_)
    for op in priced:
        near_N[op : op + tables.prefetch_ops + 1] = True
    near_N[list(priced)] = False
    return np.flatnonzero(near_N).tolist()


def _streaming(tables: Tables, state: State, ops: list[int]) -> dict[int, F64]:
    """Those of the ops that stream, with their records."""
    records_QF = tables.table_QF[state.record_N[ops]]
    streams = records_QF[:, STREAMS] > 0.0
    return {op: records_QF[n : n + 1] for n, op in enumerate(ops) if streams[n]}


def _window(tables: Tables, priced: dict[int, F64], streams: dict[int, F64]) -> list[int]:
    """The ops of the program: those priced, and those before an op that streams."""
    ops = dict.fromkeys(priced)
    for op, records_CF in (*priced.items(), *streams.items()):
        if (records_CF[:, STREAMS] > 0.0).any():
            ops.update(dict.fromkeys(range(max(0, op - tables.prefetch_ops), op + 1)))
    return sorted(ops)


def _seconds(tables: Tables, state: State, op: int) -> float:
    record = state.record_N[op]
    return float(tables.table_QF[record, CORE] + tables.table_QF[record, FILL])


def _add_op(
    rows: Rows,
    steps: dict[int, int],
    homes: dict[int, I64],
    column: dict[int, int],
    one: int,
    records_CF: F64,
    time_unit_s: float,
) -> OpColumns:
    duration = rows.columns(1)
    count = len(records_CF)
    if len(steps) == 1:
        # The weights of the combinations are the homes of the only tensor.
        (t,) = steps
        weights = np.arange(column[t], column[t] + count)
    elif not steps:
        weights = np.array([one])
    else:
        first = rows.columns(count, 1.0)
        weights = np.arange(first, first + count)
        tensors = list(steps)
        for axis, position, members in _members(tuple(len(homes[t]) for t in tensors)):
            values = np.ones(len(members) + 1)
            values[-1] = -1.0
            home = column[tensors[axis]] + position
            rows.row(np.append(first + members, home), values, 0.0, 0.0)
    seconds_C = records_CF[:, CORE] + records_CF[:, FILL]
    rows.row(np.append(weights, duration), np.append(seconds_C / -time_unit_s, 1.0), 0.0, np.inf)
    return OpColumns(duration, weights, records_CF)


def _program(
    rows: Rows,
    ops: dict[int, OpColumns],
    decided_columns: int,
    homes: dict[int, I64],
    column: dict[int, int],
    homes_T: I8,
) -> Program:
    cost = np.zeros(len(rows.column_upper))
    cost[[op.duration for op in ops.values()]] = 1.0
    start = np.zeros(decided_columns)
    for t, allowed in homes.items():
        start[column[t] + int(np.flatnonzero(allowed == homes_T[t])[0])] = 1.0
    counts = [len(indices) for indices in rows.indices]
    integer = np.zeros(len(cost), np.bool_)
    integer[: decided_columns + 1] = True
    return Program(
        cost=cost,
        column_upper=np.array(rows.column_upper),
        integer=integer,
        row_start=np.cumsum([0, *counts]),
        row_index=np.concatenate(rows.indices).astype(np.int64),
        row_value=np.concatenate(rows.values),
        row_lower=np.array(rows.lower),
        row_upper=np.array(rows.upper),
        start_columns=np.arange(decided_columns, dtype=np.int32),
        start_values=start,
    )
