"""The timeline of a placement of which a few ops changed."""

from numba import njit

from accelerator_sim.incremental.state import State, Tables
from accelerator_sim.kernel import COMPUTE, EPSILON_S, FILL, LATE_LATENCY, OWN, STREAMS

SAME_BYTES = 1e-3
"""Two fillings of the ring that differ by less are one."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _same(state: State, i: int, tier_count: int) -> bool:
    """Whether the timeline under trial has at op `i` come back to what it was."""
    queue_op = state.queue_op_M[i]
    queue_tier = state.queue_tier_M[i]
    if (
        state.new_queue_op_M[i] != queue_op
        or state.new_queue_tier_M[i] != queue_tier
        or abs(state.new_partial_M[i] - state.partial_M[i]) > EPSILON_S
        or abs(state.new_occupied_M[i] - state.occupied_M[i]) > SAME_BYTES
    ):
        return False
    for j in range(i, queue_op + 1):
        for k in range(queue_tier if j == queue_op else tier_count):
            if abs(state.new_fetched_NL[j, k] - state.fetched_NL[j, k]) > EPSILON_S:
                return False
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def retime(tables: Tables, state: State) -> float:
    """Latency in seconds with the changes since the last `keep` or `forget`.

    The loop is that of `kernel.walk_timeline`, begun in the middle and left as soon as nothing
    differs any more. `window` becomes the ops that `keep` copies.
    """
    table_QF, record_N = tables.table_QF, state.record_N
    fetched_NL = state.new_fetched_NL
    op_count = record_N.shape[0]
    tier_count = tables.capacity_bytes_L.shape[0]
    stream_0 = table_QF.shape[1] - 2 * tier_count
    ring_0 = stream_0 + tier_count
    first, last = state.window[0], state.window[1]
    if last < 0:
        return float(state.total_M[op_count])
    while first > 0 and state.queue_op_M[first] >= state.window[0]:
        first -= 1
    state.window[0] = first
    total = state.total_M[first]
    occupied = state.occupied_M[first]
    queue_op, queue_tier = state.queue_op_M[first], state.queue_tier_M[first]
    for j in range(first, queue_op + 1):
        for k in range(tier_count):
            fetched_NL[j, k] = state.fetched_NL[j, k] if j < queue_op or k < queue_tier else 0.0
    fetched_NL[queue_op, queue_tier] = state.partial_M[first]
    for i in range(first, op_count):
        state.new_total_M[i] = total
        state.new_queue_op_M[i] = queue_op
        state.new_queue_tier_M[i] = queue_tier
        state.new_partial_M[i] = fetched_NL[queue_op, queue_tier]
        state.new_occupied_M[i] = occupied
        if i > last and _same(state, i, tier_count):
            state.window[1] = i
            return float(total + (state.total_M[op_count] - state.total_M[i]))
        record = record_N[i]
        duration = table_QF[record, COMPUTE]
        for k in range(OWN, stream_0):
            duration = max(duration, table_QF[record, k])
        late = False
        if table_QF[record, STREAMS] > 0.0:
            for k in range(tier_count):
                rest = table_QF[record, stream_0 + k] - fetched_NL[i, k]
                if rest > EPSILON_S:
                    late = True
                    duration = max(duration, table_QF[record, OWN + k] + rest)
        duration += table_QF[record, FILL]
        if late:
            duration += table_QF[record, LATE_LATENCY]
        total += duration
        if queue_op <= i:
            queue_op, queue_tier = i + 1, 0
            fetched_NL[queue_op] = 0.0
        idle = duration
        while queue_op < op_count and queue_op <= i + tables.prefetch_ops:
            coming = record_N[queue_op]
            if table_QF[coming, STREAMS] == 0.0:
                queue_op, queue_tier = queue_op + 1, 0
                fetched_NL[queue_op] = 0.0
                continue
            k = queue_tier
            need = table_QF[coming, stream_0 + k] - fetched_NL[queue_op, k]
            if need > EPSILON_S:
                busy = table_QF[record, OWN + k] + max(
                    0.0, table_QF[record, stream_0 + k] - fetched_NL[i, k]
                )
                rate = 1.0 - busy / duration
                if rate <= 1e-12 or idle <= 0.0:
                    break
                bytes_per_s = table_QF[coming, ring_0 + k] / table_QF[coming, stream_0 + k]
                room = max(0.0, tables.ring_bytes - occupied) / bytes_per_s
                part = min(need, room, idle * rate)
                fetched_NL[queue_op, k] += part
                occupied += part * bytes_per_s
                idle -= part / rate
                if part < need:
                    break
            queue_tier += 1
            if queue_tier == tier_count:
                queue_op, queue_tier = queue_op + 1, 0
                fetched_NL[queue_op] = 0.0
        if table_QF[record, STREAMS] > 0.0:
            for k in range(tier_count):
                if fetched_NL[i, k] > 0.0:
                    occupied -= (
                        fetched_NL[i, k]
                        / table_QF[record, stream_0 + k]
                        * table_QF[record, ring_0 + k]
                    )
            occupied = max(occupied, 0.0)
    state.new_total_M[op_count] = total
    state.window[1] = op_count
    return float(total)


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def forget(state: State) -> None:
    """End a trial whose changes have all been set back."""
    state.window[0] = state.record_N.shape[0]
    state.window[1] = -1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def keep(state: State) -> None:
    """Make the move under trial, which `retime` has timed, the state."""
    op_count = state.record_N.shape[0]
    first, last = state.window[0], state.window[1]
    if last >= 0:
        delta = state.new_total_M[last] - state.total_M[last]
        for i in range(first, last):
            state.total_M[i] = state.new_total_M[i]
            state.queue_op_M[i] = state.new_queue_op_M[i]
            state.queue_tier_M[i] = state.new_queue_tier_M[i]
            state.partial_M[i] = state.new_partial_M[i]
            state.occupied_M[i] = state.new_occupied_M[i]
            state.fetched_NL[i] = state.new_fetched_NL[i]
        for i in range(last, op_count + 1):
            state.total_M[i] += delta
    forget(state)
