"""The timeline of a placement of which a few ops changed."""

from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.state import (
    FIRST,
    KEPT,
    LAST,
    OCCUPIED,
    PARTIAL,
    QUEUE_OP,
    QUEUE_TIER,
    TOTAL,
    TRIAL,
    State,
    Tables,
)
from accelerator_sim.kernel import CORE, EPSILON_S, FILL, LATE_LATENCY, OWN, STREAMS

SAME_BYTES = 1e-3
"""Two fillings of the ring that differ by less are one."""


@compiled
def _same(state: State, i: int, tier_count: int) -> bool:
    """Whether the timeline under trial has at op `i` come back to what it was."""
    mark_SMF, queue_SMF, fetched_SML = state.mark_SMF, state.queue_SMF, state.fetched_SML
    queue_op, queue_tier = queue_SMF[KEPT, i, QUEUE_OP], queue_SMF[KEPT, i, QUEUE_TIER]
    if queue_SMF[TRIAL, i, QUEUE_OP] != queue_op or queue_SMF[TRIAL, i, QUEUE_TIER] != queue_tier:
        return False
    if abs(mark_SMF[TRIAL, i, PARTIAL] - mark_SMF[KEPT, i, PARTIAL]) > EPSILON_S:
        return False
    if abs(mark_SMF[TRIAL, i, OCCUPIED] - mark_SMF[KEPT, i, OCCUPIED]) > SAME_BYTES:
        return False
    for j in range(i, queue_op + 1):
        for k in range(queue_tier if j == queue_op else tier_count):
            if abs(fetched_SML[TRIAL, j, k] - fetched_SML[KEPT, j, k]) > EPSILON_S:
                return False
    return True


@compiled
def retime(tables: Tables, state: State) -> float:
    """Latency in seconds with the changes since the last `keep` or `forget`.

    The loop is that of `kernel.walk_timeline`, begun in the middle and left as soon as nothing
    differs any more. `FIRST` and `LAST` become the ops that `keep` copies.
    """
    table_QF, record_N = tables.table_QF, state.record_N
    mark_SMF, queue_SMF, fetched_SML = state.mark_SMF, state.queue_SMF, state.fetched_SML
    op_count = record_N.shape[0]
    tier_count = tables.capacity_bytes_L.shape[0]
    stream_0 = table_QF.shape[1] - 2 * tier_count
    ring_0 = stream_0 + tier_count
    first, last = state.counter_F[FIRST], state.counter_F[LAST]
    if last < 0:
        return float(mark_SMF[KEPT, op_count, TOTAL])
    while first > 0 and queue_SMF[KEPT, first, QUEUE_OP] >= state.counter_F[FIRST]:
        first -= 1
    state.counter_F[FIRST] = first
    total = mark_SMF[KEPT, first, TOTAL]
    occupied = mark_SMF[KEPT, first, OCCUPIED]
    queue_op = queue_SMF[KEPT, first, QUEUE_OP]
    queue_tier = queue_SMF[KEPT, first, QUEUE_TIER]
    for j in range(first, queue_op + 1):
        for k in range(tier_count):
            past = j < queue_op or k < queue_tier
            fetched_SML[TRIAL, j, k] = fetched_SML[KEPT, j, k] if past else 0.0
    fetched_SML[TRIAL, queue_op, queue_tier] = mark_SMF[KEPT, first, PARTIAL]
    for i in range(first, op_count):
        mark_SMF[TRIAL, i, TOTAL] = total
        mark_SMF[TRIAL, i, PARTIAL] = fetched_SML[TRIAL, queue_op, queue_tier]
        mark_SMF[TRIAL, i, OCCUPIED] = occupied
        queue_SMF[TRIAL, i, QUEUE_OP] = queue_op
        queue_SMF[TRIAL, i, QUEUE_TIER] = queue_tier
        if i > last and _same(state, i, tier_count):
            state.counter_F[LAST] = i
            return float(total + (mark_SMF[KEPT, op_count, TOTAL] - mark_SMF[KEPT, i, TOTAL]))
        record = record_N[i]
        duration = table_QF[record, CORE]
        late = False
        if table_QF[record, STREAMS] > 0.0:
            for k in range(tier_count):
                stream, fetched = table_QF[record, stream_0 + k], fetched_SML[TRIAL, i, k]
                duration = max(duration, table_QF[record, OWN + k] + stream - fetched)
                if fetched < min(stream, table_QF[record, LATE_LATENCY]) - EPSILON_S:
                    late = True
        duration += table_QF[record, FILL]
        if late:
            duration += table_QF[record, LATE_LATENCY]
        total += duration
        if queue_op <= i:
            queue_op, queue_tier = i + 1, 0
            for k in range(tier_count):
                fetched_SML[TRIAL, queue_op, k] = 0.0
        idle = duration
        while queue_op < op_count and queue_op <= i + tables.prefetch_ops:
            coming = record_N[queue_op]
            if table_QF[coming, STREAMS] == 0.0:
                queue_op, queue_tier = queue_op + 1, 0
                for k in range(tier_count):
                    fetched_SML[TRIAL, queue_op, k] = 0.0
                continue
            k = queue_tier
            stream = table_QF[coming, stream_0 + k]
            hidden = table_QF[coming, CORE] - table_QF[coming, OWN + k]
            wanted = min(stream, max(stream - hidden, table_QF[coming, LATE_LATENCY]))
            need = wanted - fetched_SML[TRIAL, queue_op, k]
            if need > EPSILON_S:
                rest = max(0.0, table_QF[record, stream_0 + k] - fetched_SML[TRIAL, i, k])
                busy = table_QF[record, OWN + k] + rest
                rate = 1.0 - busy / duration
                if rate <= 1e-12 or idle <= 0.0:
                    break
                bytes_per_s = table_QF[coming, ring_0 + k] / table_QF[coming, stream_0 + k]
                room = max(0.0, tables.ring_bytes - occupied) / bytes_per_s
                part = min(need, room, idle * rate)
                fetched_SML[TRIAL, queue_op, k] += part
                occupied += part * bytes_per_s
                idle -= part / rate
                if part < need:
                    break
            queue_tier += 1
            if queue_tier == tier_count:
                queue_op, queue_tier = queue_op + 1, 0
                for k in range(tier_count):
                    fetched_SML[TRIAL, queue_op, k] = 0.0
        if table_QF[record, STREAMS] > 0.0:
            for k in range(tier_count):
                if fetched_SML[TRIAL, i, k] > 0.0:
                    share = fetched_SML[TRIAL, i, k] / table_QF[record, stream_0 + k]
                    occupied -= share * table_QF[record, ring_0 + k]
            occupied = max(occupied, 0.0)
    mark_SMF[TRIAL, op_count, TOTAL] = total
    state.counter_F[LAST] = op_count
    return float(total)


@compiled
def forget(state: State) -> None:
    """End a trial whose changes have all been set back."""
    state.counter_F[FIRST] = state.record_N.shape[0]
    state.counter_F[LAST] = -1


@compiled
def keep(state: State) -> None:
    """Make the move under trial, which `retime` has timed, the state."""
    mark_SMF, queue_SMF, fetched_SML = state.mark_SMF, state.queue_SMF, state.fetched_SML
    first, last = state.counter_F[FIRST], state.counter_F[LAST]
    if last >= 0:
        delta = mark_SMF[TRIAL, last, TOTAL] - mark_SMF[KEPT, last, TOTAL]
        for i in range(first, last):
            for f in range(3):
                mark_SMF[KEPT, i, f] = mark_SMF[TRIAL, i, f]
            for f in range(2):
                queue_SMF[KEPT, i, f] = queue_SMF[TRIAL, i, f]
            for k in range(fetched_SML.shape[2]):
                fetched_SML[KEPT, i, k] = fetched_SML[TRIAL, i, k]
        for i in range(last, mark_SMF.shape[1]):
            mark_SMF[KEPT, i, TOTAL] += delta
    forget(state)
