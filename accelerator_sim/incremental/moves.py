"""Moves of tensors between homes, with live bytes and prices kept up to date."""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.live import put, take
from accelerator_sim.incremental.retime import keep, retime
from accelerator_sim.incremental.state import (
    CELL,
    FIRST,
    FIRST_RECORD,
    FIRST_ROW,
    FIRST_USE,
    FIRST_VARIANT,
    IS_READ,
    LAST,
    LAST_USE,
    OP,
    RADIX,
    ROW_RADIX,
    STREAMED,
    STREAMING,
    TENSOR,
    UNTABLED,
    State,
    Tables,
    empty_state,
)
from accelerator_sim.kernel import price_op


def build_state(tables: Tables, homes_T: NDArray[np.int8]) -> State:
    """The state of a placement."""
    state = empty_state(tables, homes_T)
    reset(tables, state)
    return state


def reset(tables: Tables, state: State) -> float:
    """Bring the whole state in line with `homes_T`; the latency in seconds."""
    _recount(tables, state)
    latency_s = float(retime(tables, state))
    keep(state)
    return latency_s


@compiled
def record_of(tables: Tables, homes_T: NDArray[np.int8], op: int) -> int:
    """The record of an op with these homes; an op without a table is priced into its own."""
    record = tables.op_MF[op, FIRST_RECORD]
    if record >= 0:
        for row in range(tables.op_MF[op, FIRST_ROW], tables.op_MF[op + 1, FIRST_ROW]):
            record += tables.row_EF[row, ROW_RADIX] * homes_T[tables.row_EF[row, TENSOR]]
        return int(record)
    record = tables.op_MF[op, UNTABLED]
    tier_count = tables.capacity_bytes_L.shape[0]
    resource_count = tables.cell_CF.shape[1] - 2
    price_op(
        op, homes_T, tables.op_MF[:, FIRST_VARIANT], tables.op_MF[:, FIRST_ROW],
        tables.row_EF[:, TENSOR], tables.row_EF[:, CELL], tables.row_EF[:, IS_READ],
        tables.cell_CF[:, :resource_count], tables.cell_CF[:, resource_count],
        tables.cell_CF[:, resource_count + 1], tables.variant_VF[:, 0], tables.variant_VF[:, 1],
        tables.latency_H, tables.tier_H, np.empty(resource_count), np.empty(tier_count),
        np.empty(tier_count), tables.table_QF[record],
    )  # fmt: skip
    return int(record)


@compiled
def _recount(tables: Tables, state: State) -> None:
    """Prices and live bytes of the whole placement."""
    op_count = state.record_N.shape[0]
    for op in range(op_count):
        state.record_N[op] = record_of(tables, state.homes_T, op)
    state.live_LN[:] = 0
    state.tier_LF[:] = 0
    state.counter_F[STREAMING] = 0
    inner = tables.capacity_bytes_L.shape[0] - 1
    for t in range(state.homes_T.shape[0]):
        home = state.homes_T[t]
        put(tables, state, t, home)
        if tables.tensor_TF[t, STREAMED] > 0 and tables.tier_H[home] != inner:
            state.counter_F[STREAMING] += 1
    state.counter_F[FIRST] = 0
    state.counter_F[LAST] = op_count - 1


@compiled
def set_home(tables: Tables, state: State, t: int, home: int) -> None:
    """Move a tensor: live bytes and prices follow, the timeline waits for `retime`."""
    old = state.homes_T[t]
    if old == home:
        return
    take(tables, state, t, old)
    put(tables, state, t, home)
    state.homes_T[t] = home
    if tables.tensor_TF[t, STREAMED] > 0:
        inner = tables.capacity_bytes_L.shape[0] - 1
        if tables.tier_H[old] != inner:
            state.counter_F[STREAMING] -= 1
        if tables.tier_H[home] != inner:
            state.counter_F[STREAMING] += 1
    for use in range(tables.tensor_TF[t, FIRST_USE], tables.tensor_TF[t, LAST_USE]):
        op = tables.use_UF[use, OP]
        if tables.op_MF[op, FIRST_RECORD] >= 0:
            state.record_N[op] += tables.use_UF[use, RADIX] * (home - old)
        else:
            state.record_N[op] = record_of(tables, state.homes_T, op)
        state.counter_F[FIRST] = min(state.counter_F[FIRST], op)
        state.counter_F[LAST] = max(state.counter_F[LAST], op)
