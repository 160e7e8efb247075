"""Moves of tensors between homes, with live bytes and prices kept up to date."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelerator_sim.incremental.live import put, take
from accelerator_sim.incremental.retime import keep, retime
from accelerator_sim.incremental.state import State, Tables, empty_state
from accelerator_sim.kernel import look_up, price_op


def build_state(tables: Tables, homes_T: NDArray[np.int8]) -> State:
    """The state of a placement."""
    state = empty_state(tables, homes_T)
    reset(tables, state)
    return state


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _price_untabled(tables: Tables, state: State, op: int) -> None:
    record = tables.untabled_N[op]
    state.record_N[op] = record
    price_op(
        op, state.homes_T, tables.variant_start_N, tables.row_start_N, tables.row_tensor_E,
        tables.row_cell_E, tables.row_is_read_E, tables.cost_CK, tables.stream_C,
        tables.ring_bytes_C, tables.compute_V, tables.fill_V, tables.latency_H, tables.tier_H,
        tables.own_K, tables.stream_L, tables.ring_L, tables.table_QF[record],
    )  # fmt: skip


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def reset(tables: Tables, state: State) -> float:
    """Bring the whole state in line with `homes_T`; the latency in seconds."""
    op_count = state.record_N.shape[0]
    look_up(
        state.homes_T, tables.row_start_N, tables.row_tensor_E, tables.radix_E,
        tables.first_record_N, state.record_N,
    )  # fmt: skip
    for op in tables.untabled_D:
        _price_untabled(tables, state, op)
    state.live_LN[:] = 0
    state.peak_L[:] = 0
    state.resident_L[:] = 0
    state.streaming[0] = 0
    inner = tables.capacity_bytes_L.shape[0] - 1
    for t in range(state.homes_T.shape[0]):
        home = state.homes_T[t]
        put(tables, state, t, home)
        if tables.streamed_T[t] and tables.tier_H[home] != inner:
            state.streaming[0] += 1
    state.window[0] = 0
    state.window[1] = op_count - 1
    retime(tables, state)
    keep(state)
    return float(state.total_M[op_count])


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def set_home(tables: Tables, state: State, t: int, home: int) -> None:
    """Move a tensor: live bytes and prices follow, the timeline waits for `retime`."""
    old = state.homes_T[t]
    if old == home:
        return
    take(tables, state, t, old)
    put(tables, state, t, home)
    state.homes_T[t] = home
    if tables.streamed_T[t]:
        inner = tables.capacity_bytes_L.shape[0] - 1
        if tables.tier_H[old] != inner:
            state.streaming[0] -= 1
        if tables.tier_H[home] != inner:
            state.streaming[0] += 1
    for use in range(tables.use_start_T[t], tables.use_start_T[t + 1]):
        row = tables.use_row_U[use]
        op = tables.row_op_E[row]
        if tables.first_record_N[op] >= 0:
            state.record_N[op] += tables.radix_E[row] * (home - old)
        else:
            _price_untabled(tables, state, op)
        state.window[0] = min(state.window[0], op)
        state.window[1] = max(state.window[1], op)
