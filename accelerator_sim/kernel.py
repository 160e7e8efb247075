"""The timeline engine's compiled kernels (numba). `reference_engine.py` is their readable twin.

Two passes over the ops of one placement. The first prices every op alone and takes its best
variant: lowest time with all its streams late, then lowest time with none, then lowest index. The
second walks the timeline: what the DMA queue did not bring in before an op began is read while it
runs, and the time that an op leaves idle on the outer tiers goes to the queue (first in, first
out; at most `prefetch_ops` ahead; no more than the ring holds). The queue brings in early only
what would otherwise stall the op, and enough to cover the latency of the first slice: what the op
can read behind its own work needs no room in the ring.

What the first pass finds of an op depends only on the homes of its own operands, so it is looked
up in `table_QF`, one record per combination of homes; ops of the same shape share their records.
Ops with too many operands for a table are priced when they are met.

Axis letters as in `problem.py`; F fields of a record, Q records, D ops without a table.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I8 = NDArray[np.int8]
Flags = NDArray[np.bool_]

EPSILON_S = 1e-15

# Fields of a record: then K own seconds, L stream seconds, L ring bytes.
# CORE is the op's duration without streams and without fill.
VARIANT, CORE, FILL, LATE_LATENCY, STREAMS, OWN = 0, 1, 2, 3, 4, 5


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def price_op(
    op: int, homes_T: I8,
    variant_start_N: I64, row_start_N: I64, row_tensor_E: I64, row_cell_E: I64,
    row_is_read_E: Flags, cost_CK: F64, stream_C: F64, ring_bytes_C: F64,
    compute_V: F64, fill_V: F64, latency_H: F64, tier_H: I64,
    own_K: F64, stream_L: F64, ring_L: F64, record_F: F64,
) -> None:  # fmt: skip
    """Fill `record_F` with the best variant of one op; the three arrays before it are scratch."""
    home_count = tier_H.shape[0]
    resource_count = own_K.shape[0]
    tier_count = stream_L.shape[0]
    best_late = np.inf
    best_early = np.inf
    best = 0
    row_from, row_to = row_start_N[op], row_start_N[op + 1]
    for v in range(variant_start_N[op + 1] - variant_start_N[op]):
        own_K[:] = 0.0
        stream_L[:] = 0.0
        ring_L[:] = 0.0
        for row in range(row_from, row_to):
            home = homes_T[row_tensor_E[row]]
            cell = row_cell_E[row] + v * home_count + home
            for k in range(resource_count):
                own_K[k] += cost_CK[cell, k]
            if stream_C[cell] > 0.0:
                stream_L[tier_H[home]] += stream_C[cell]
                ring_L[tier_H[home]] += ring_bytes_C[cell]
        early = compute_V[variant_start_N[op] + v]
        for k in range(resource_count):
            early = max(early, own_K[k])
        late = early
        for k in range(tier_count):
            late = max(late, own_K[k] + stream_L[k])
        if late < best_late or (late == best_late and early < best_early):
            best_late, best_early, best = late, early, v
            streams = 0.0
            for k in range(resource_count):
                record_F[OWN + k] = own_K[k]
            for k in range(tier_count):
                record_F[OWN + resource_count + k] = stream_L[k]
                record_F[OWN + resource_count + tier_count + k] = ring_L[k]
                if stream_L[k] > 0.0:
                    streams = 1.0
            record_F[STREAMS] = streams
    own_latency = 0.0
    late_latency = 0.0
    for row in range(row_from, row_to):
        if row_is_read_E[row]:
            home = homes_T[row_tensor_E[row]]
            if stream_C[row_cell_E[row] + best * home_count + home] > 0.0:
                late_latency = max(late_latency, latency_H[home])
                own_latency = max(own_latency, latency_H[home_count - 1])  # of the ring
            else:
                own_latency = max(own_latency, latency_H[home])
    record_F[VARIANT] = best
    record_F[CORE] = best_early
    record_F[FILL] = fill_V[variant_start_N[op] + best] + own_latency
    record_F[LATE_LATENCY] = max(0.0, late_latency - own_latency)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def fill_table(
    op: int, first_record: int, radix_E: I64, table_QF: F64, homes_T: I8,
    variant_start_N: I64, row_start_N: I64, row_tensor_E: I64, row_cell_E: I64,
    row_is_read_E: Flags, cost_CK: F64, stream_C: F64, ring_bytes_C: F64,
    compute_V: F64, fill_V: F64, latency_H: F64, tier_H: I64, tier_count: int,
) -> None:  # fmt: skip
    """Price one op under every combination of homes of its free operands.

    `radix_E` is the step in records of each operand row, 0 for an operand that is pinned;
    `homes_T` is changed.
    """
    home_count = tier_H.shape[0]
    own_K = np.empty(cost_CK.shape[1])
    stream_L = np.empty(tier_count)
    ring_L = np.empty(tier_count)
    row_from, row_to = row_start_N[op], row_start_N[op + 1]
    count = 1
    for row in range(row_from, row_to):
        if radix_E[row] > 0:
            count *= home_count
    for combination in range(count):
        for row in range(row_from, row_to):
            if radix_E[row] > 0:
                homes_T[row_tensor_E[row]] = (combination // radix_E[row]) % home_count
        price_op(
            op, homes_T, variant_start_N, row_start_N, row_tensor_E, row_cell_E,
            row_is_read_E, cost_CK, stream_C, ring_bytes_C, compute_V, fill_V, latency_H, tier_H,
            own_K, stream_L, ring_L, table_QF[first_record + combination],
        )  # fmt: skip


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def look_up(
    homes_T: I8, row_start_N: I64, row_tensor_E: I64, radix_E: I64, first_record_N: I64,
    record_N: I64,
) -> None:  # fmt: skip
    """First pass: `record_N` is the record of every op that has a table."""
    for i in range(first_record_N.shape[0]):
        record = first_record_N[i]
        if record >= 0:
            for row in range(row_start_N[i], row_start_N[i + 1]):
                record += radix_E[row] * homes_T[row_tensor_E[row]]
            record_N[i] = record


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def walk_timeline(
    record_N: I64, table_QF: F64, tier_count: int, ring_bytes: float, prefetch_ops: int,
    fetched_NL: F64, duration_N: F64,
) -> float:  # fmt: skip
    """Second pass: latency of the inference in seconds, and `duration_N` of every op.

    `fetched_NL` is a scratch array.
    """
    op_count = record_N.shape[0]
    stream_0 = table_QF.shape[1] - 2 * tier_count
    ring_0 = stream_0 + tier_count
    total = 0.0
    occupied = 0.0
    queue_op, queue_tier = 0, 0
    for i in range(op_count):
        for k in range(tier_count):
            fetched_NL[i, k] = 0.0
    for i in range(op_count):
        record = table_QF[record_N[i]]
        duration = record[CORE]
        late = False
        if record[STREAMS] > 0.0:
            for k in range(tier_count):
                stream, fetched = record[stream_0 + k], fetched_NL[i, k]
                duration = max(duration, record[OWN + k] + stream - fetched)
                if fetched < min(stream, record[LATE_LATENCY]) - EPSILON_S:
                    late = True
        duration += record[FILL]
        if late:
            duration += record[LATE_LATENCY]
        duration_N[i] = duration
        total += duration
        if queue_op <= i:
            queue_op, queue_tier = i + 1, 0
        idle = duration
        while queue_op < op_count and queue_op <= i + prefetch_ops:
            coming = table_QF[record_N[queue_op]]
            if coming[STREAMS] == 0.0:
                queue_op, queue_tier = queue_op + 1, 0
                continue
            k = queue_tier
            stream = coming[stream_0 + k]
            hidden = coming[CORE] - coming[OWN + k]
            need = min(stream, max(stream - hidden, coming[LATE_LATENCY])) - fetched_NL[queue_op, k]
            if need > EPSILON_S:
                busy = record[OWN + k] + max(0.0, record[stream_0 + k] - fetched_NL[i, k])
                rate = 1.0 - busy / duration
                if rate <= 1e-12 or idle <= 0.0:
                    break
                bytes_per_s = coming[ring_0 + k] / coming[stream_0 + k]
                room = max(0.0, ring_bytes - occupied) / bytes_per_s
                part = min(need, room, idle * rate)
                fetched_NL[queue_op, k] += part
                occupied += part * bytes_per_s
                idle -= part / rate
                if part < need:
                    break
            queue_tier += 1
            if queue_tier == tier_count:
                queue_op, queue_tier = queue_op + 1, 0
        if record[STREAMS] > 0.0:
            for k in range(tier_count):
                if fetched_NL[i, k] > 0.0:
                    occupied -= fetched_NL[i, k] / record[stream_0 + k] * record[ring_0 + k]
            occupied = max(occupied, 0.0)
    return total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def overflow_bytes(
    homes_T: I8, tier_H: I64, size_bytes_TH: I64, start_T: I64, end_T: I64,
    capacity_bytes_L: I64, staging_bytes: int, streams: bool, delta_NL: I64,
) -> int:  # fmt: skip
    """Most bytes by which any tier is over its capacity at any op; 0 where all fit.

    `delta_NL` is a scratch array of op count + 1 rows.
    """
    tier_count = capacity_bytes_L.shape[0]
    row_count = delta_NL.shape[0]
    for i in range(row_count):
        for k in range(tier_count):
            delta_NL[i, k] = 0
    for t in range(homes_T.shape[0]):
        home = homes_T[t]
        size = size_bytes_TH[t, home]
        delta_NL[start_T[t], tier_H[home]] += size
        delta_NL[end_T[t], tier_H[home]] -= size
    worst = 0
    for k in range(tier_count):
        live = 0
        limit = capacity_bytes_L[k]
        if streams and k == tier_count - 1:
            limit -= staging_bytes
        for i in range(row_count - 1):
            live += delta_NL[i, k]
            worst = max(worst, live - limit)
    return worst


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def evaluate_kernel(
    homes_PT: I8,
    variant_start_N: I64, row_start_N: I64, row_tensor_E: I64, row_cell_E: I64,
    row_is_read_E: Flags, cost_CK: F64, stream_C: F64, ring_bytes_C: F64,
    compute_V: F64, fill_V: F64, latency_H: F64, tier_H: I64,
    size_bytes_TH: I64, start_T: I64, end_T: I64, capacity_bytes_L: I64,
    staging_bytes: int, ring_bytes: float, prefetch_ops: int,
    radix_E: I64, first_record_N: I64, untabled_D: I64, table_QF: F64,
    latency_P: F64, overflow_P: I64,
) -> None:  # fmt: skip
    """Latency and overflow of every placement of a population.

    The last D records of `table_QF` are scratch for the ops without a table.
    """
    op_count = first_record_N.shape[0]
    tier_count = capacity_bytes_L.shape[0]
    scratch_0 = table_QF.shape[0] - untabled_D.shape[0]
    record_N = np.empty(op_count, np.int64)
    fetched_NL = np.empty((op_count, tier_count))
    duration_N = np.empty(op_count)
    delta_NL = np.empty((op_count + 1, tier_count), np.int64)
    own_K = np.empty(cost_CK.shape[1])
    stream_L = np.empty(tier_count)
    ring_L = np.empty(tier_count)
    for p in range(homes_PT.shape[0]):
        homes_T = homes_PT[p]
        look_up(homes_T, row_start_N, row_tensor_E, radix_E, first_record_N, record_N)
        for d in range(untabled_D.shape[0]):
            record_N[untabled_D[d]] = scratch_0 + d
            price_op(
                untabled_D[d], homes_T, variant_start_N, row_start_N, row_tensor_E, row_cell_E,
                row_is_read_E, cost_CK, stream_C, ring_bytes_C, compute_V, fill_V, latency_H,
                tier_H, own_K, stream_L, ring_L, table_QF[scratch_0 + d],
            )  # fmt: skip
        streams = False
        for i in range(op_count):
            if table_QF[record_N[i], STREAMS] > 0.0:
                streams = True
                break
        latency_P[p] = walk_timeline(
            record_N, table_QF, tier_count, ring_bytes, prefetch_ops, fetched_NL, duration_N
        )
        overflow_P[p] = overflow_bytes(
            homes_T, tier_H, size_bytes_TH, start_T, end_T, capacity_bytes_L,
            staging_bytes, streams, delta_NL,
        )  # fmt: skip
