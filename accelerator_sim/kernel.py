"""What one op asks of the machine, compiled: the records of its best variant.

Of an op's variants the best is the one with the lowest time with all its streams late, then the
lowest time with none, then the lowest index. What is found depends only on the homes of the op's
own operands, so it is looked up in `table_QF`, one record per combination of homes; ops of the same
shape share their records. `walk_QW` holds what walking the timeline needs of the same records.

Axis letters as in `problem.py`; F fields of a record, Q records, W fields of a walk record.
"""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I8 = NDArray[np.int8]
Flags = NDArray[np.bool_]

EPSILON_S = 1e-15

# Fields of a record; then K own seconds, L stream seconds, L ring bytes.
# CORE is the op's duration without streams and without fill.
VARIANT, CORE, FILL, LATE_LATENCY, STREAMS, OWN = 0, 1, 2, 3, 4, 5

# Fields of a walk record; then five for every tier but the innermost, from which nothing streams:
# seconds of its own, with its stream; ring bytes per second of stream; seconds of the stream worth
# bringing in early; what of it must have arrived for the op not to be late.
WALK_CORE, WALK_FILL, WALK_LATE, WALK_STREAMS, WALK_TIERS = 0, 1, 2, 3, 4
WALK_OWN, WALK_ALL, WALK_RING, WALK_EARLY, WALK_FIRST, WALK_STEP = 0, 1, 2, 3, 4, 5


@compiled
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


@compiled
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


@compiled
def to_walk(record_F: F64, tier_count: int, walk_W: F64) -> None:
    """Fill `walk_W` with what walking the timeline needs of a record."""
    stream_0 = record_F.shape[0] - 2 * tier_count
    late = record_F[LATE_LATENCY]
    walk_W[WALK_CORE] = record_F[CORE]
    walk_W[WALK_FILL] = record_F[FILL]
    walk_W[WALK_LATE] = late
    walk_W[WALK_STREAMS] = record_F[STREAMS]
    for k in range(tier_count - 1):
        own, stream = record_F[OWN + k], record_F[stream_0 + k]
        at = WALK_TIERS + WALK_STEP * k
        walk_W[at + WALK_OWN] = own
        walk_W[at + WALK_ALL] = own + stream
        walk_W[at + WALK_RING] = (
            record_F[stream_0 + tier_count + k] / stream if stream > 0.0 else 0.0
        )
        walk_W[at + WALK_EARLY] = min(stream, max(stream - (record_F[CORE] - own), late))
        walk_W[at + WALK_FIRST] = min(stream, late) - EPSILON_S


@compiled
def to_walk_table(table_QF: F64, tier_count: int, walk_QW: F64) -> None:
    """The walk records of all records."""
    for record in range(walk_QW.shape[0]):
        to_walk(table_QF[record], tier_count, walk_QW[record])
