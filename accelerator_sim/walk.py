"""The timeline engine's compiled walk. `reference_engine.py` is its readable twin.

The records of all ops are fetched first, and what is worth bringing in early is listed. Then the
timeline is walked: what the DMA queue did not bring in before an op began is read while it runs,
and the time that an op leaves idle on the outer tiers goes to the queue (first in, first out; at
most `prefetch_ops` ahead; no more than the ring holds). The queue brings in early only what would
otherwise stall the op, and enough to cover the latency of the first slice: what the op can read
behind its own work needs no room in the ring.

Axis letters as in `problem.py`; W fields of a walk record (`kernel.py`), S tiers that stream (all
but the innermost), B what the queue may bring in, one row per op and such tier; G terms of the
ops' record numbers, R tensors that live from the first op to the last and M that do not, of those
that have a choice; D ops without a table.
"""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from accelerator_sim.kernel import (
    OWN,
    WALK_ALL,
    WALK_CORE,
    WALK_EARLY,
    WALK_FILL,
    WALK_FIRST,
    WALK_LATE,
    WALK_OWN,
    WALK_RING,
    WALK_STEP,
    WALK_STREAMS,
    WALK_TIERS,
    price_op,
    to_walk,
)

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
I8 = NDArray[np.int8]
Flags = NDArray[np.bool_]

EPSILON_S = 1e-15
NO_OP = 2**31 - 1
LANES = 4


@compiled
def look_up(
    homes_T: I8, first_N: I32, term_op_G: I32, term_tensor_G: I32, term_step_G: I32, record_N: I32
) -> None:
    """The record of every op that has a table.

    Terms of one op are far apart in G: each waits for the sum that the one before it stored.
    """
    for i in range(first_N.shape[0]):
        record_N[i] = first_N[i]
    for g in range(term_op_G.shape[0]):
        record_N[term_op_G[g]] += term_step_G[g] * homes_T[term_tensor_G[g]]


@compiled
def queue_up(
    walk_NW: F64, fetched_NS: F64, queue_op_B: I32, queue_tier_B: I32, early_s_B: F64
) -> bool:
    """List what is worth bringing in early, nothing of it fetched; whether anything streams."""
    count = 0
    streams = 0.0
    for i in range(walk_NW.shape[0]):
        streams += walk_NW[i, WALK_STREAMS]
        for k in range(fetched_NS.shape[1]):
            early_s = walk_NW[i, WALK_TIERS + WALK_STEP * k + WALK_EARLY]
            fetched_NS[i, k] = 0.0
            queue_op_B[count] = i
            queue_tier_B[count] = k
            early_s_B[count] = early_s
            count += early_s > EPSILON_S
    queue_op_B[count] = NO_OP
    return streams > 0.0


@compiled
def walk_timeline(
    walk_NW: F64, fetched_NS: F64, queue_op_B: I32, queue_tier_B: I32, early_s_B: F64,
    ring_bytes: float, prefetch_ops: int,
) -> float:  # fmt: skip
    """Latency of the inference in seconds; the arrays but the first are changed."""
    total = 0.0
    occupied = 0.0
    head = 0
    for i in range(walk_NW.shape[0]):
        duration = walk_NW[i, WALK_CORE]
        late = 0.0
        for k in range(fetched_NS.shape[1]):
            at = WALK_TIERS + WALK_STEP * k
            fetched = fetched_NS[i, k]
            duration = max(duration, walk_NW[i, at + WALK_ALL] - fetched)
            if fetched < walk_NW[i, at + WALK_FIRST]:
                late = walk_NW[i, WALK_LATE]
        duration += walk_NW[i, WALK_FILL] + late
        total += duration
        while queue_op_B[head] <= i:
            head += 1
        last = i + prefetch_ops
        idle = 1.0  # Share of the op's duration that the queue has not used.
        while queue_op_B[head] <= last:
            j, k = queue_op_B[head], queue_tier_B[head]
            at = WALK_TIERS + WALK_STEP * k
            busy = max(walk_NW[i, at + WALK_OWN], walk_NW[i, at + WALK_ALL] - fetched_NS[i, k])
            free = duration - busy
            if free <= 1e-12 * duration or idle <= 0.0:
                break
            need = early_s_B[head]
            bytes_per_s = walk_NW[j, at + WALK_RING]
            room = ring_bytes - occupied
            if need <= idle * free and need * bytes_per_s <= room:
                fetched_NS[j, k] += need
                occupied += need * bytes_per_s
                idle -= need / free
                head += 1
            else:
                part = min(idle * free, max(0.0, room) / bytes_per_s)
                fetched_NS[j, k] += part
                occupied += part * bytes_per_s
                early_s_B[head] = need - part
                if need - part > EPSILON_S:
                    break
                head += 1
                idle -= part / free
        for k in range(fetched_NS.shape[1]):
            occupied -= fetched_NS[i, k] * walk_NW[i, WALK_TIERS + WALK_STEP * k + WALK_RING]
        occupied = max(occupied, 0.0)
    return total


@compiled
def overflow_bytes(
    homes_T: I8, tier_H: I64, resident_R: I32, resident_bytes_RH: I64,
    moving_M: I32, moving_start_M: I32, moving_end_M: I32, moving_bytes_MH: I64,
    fixed_LB: I64, limit_bytes_L: I64, ring_bytes: int, delta_LB: I64, sum_XH: I64,
) -> int:  # fmt: skip
    """Most bytes by which any tier is over its capacity at any op; 0 where all fit.

    The last two arrays are scratch; `fixed_LB` holds what the tensors without a choice add.
    """
    tier_count, row_count = delta_LB.shape
    for k in range(tier_count):
        for i in range(row_count):
            delta_LB[k, i] = fixed_LB[k, i]
    sum_XH[:] = 0
    for r in range(resident_R.shape[0]):
        # Sums take turns: each addition waits for the one before it in the same place.
        home = homes_T[resident_R[r]]
        sum_XH[r % LANES, home] += resident_bytes_RH[r, home]
    for lane in range(LANES):
        for home in range(sum_XH.shape[1]):
            delta_LB[tier_H[home], 0] += sum_XH[lane, home]
    for m in range(moving_M.shape[0]):
        home = homes_T[moving_M[m]]
        k, size = tier_H[home], moving_bytes_MH[m, home]
        delta_LB[k, moving_start_M[m]] += size
        delta_LB[k, moving_end_M[m]] -= size
    worst = 0
    for k in range(tier_count):
        live = 0
        peak = 0
        for i in range(row_count - 1):
            live += delta_LB[k, i]
            peak = max(peak, live)
        if k == tier_count - 1:
            peak += ring_bytes
        worst = max(worst, peak - limit_bytes_L[k])
    return worst


@compiled
def evaluate_kernel(
    homes_PT: I8,
    variant_start_N: I64, row_start_N: I64, row_tensor_E: I64, row_cell_E: I64,
    row_is_read_E: Flags, cost_CK: F64, stream_C: F64, ring_bytes_C: F64,
    compute_V: F64, fill_V: F64, latency_H: F64, tier_H: I64,
    capacity_bytes_L: I64, staging_bytes: int, ring_bytes: float, prefetch_ops: int,
    untabled_D: I64, first_N: I32, term_op_G: I32, term_tensor_G: I32, term_step_G: I32,
    walk_QW: F64, resident_R: I32, resident_bytes_RH: I64,
    moving_M: I32, moving_start_M: I32, moving_end_M: I32, moving_bytes_MH: I64,
    fixed_LB: I64, latency_P: F64, overflow_P: I64,
) -> None:  # fmt: skip
    """Latency and overflow of every placement of a population; nothing shared is written."""
    op_count = first_N.shape[0]
    tier_count = capacity_bytes_L.shape[0]
    resource_count = cost_CK.shape[1]
    streaming = tier_count - 1
    record_N = np.empty(op_count, np.int32)
    walk_NW = np.empty((op_count, walk_QW.shape[1]))
    fetched_NS = np.empty((op_count, streaming))
    queue_op_B = np.empty(op_count * streaming + 1, np.int32)
    queue_tier_B = np.empty(op_count * streaming + 1, np.int32)
    early_s_B = np.empty(op_count * streaming + 1)
    delta_LB = np.empty(fixed_LB.shape, np.int64)
    sum_XH = np.empty((LANES, tier_H.shape[0]), np.int64)
    own_K = np.empty(resource_count)
    stream_L = np.empty(tier_count)
    ring_L = np.empty(tier_count)
    record_F = np.empty(OWN + resource_count + 2 * tier_count)
    for p in range(homes_PT.shape[0]):
        homes_T = homes_PT[p]
        look_up(homes_T, first_N, term_op_G, term_tensor_G, term_step_G, record_N)
        for i in range(op_count):
            record = record_N[i]
            for w in range(walk_QW.shape[1]):
                walk_NW[i, w] = walk_QW[record, w]
        for d in range(untabled_D.shape[0]):
            price_op(
                untabled_D[d], homes_T, variant_start_N, row_start_N, row_tensor_E, row_cell_E,
                row_is_read_E, cost_CK, stream_C, ring_bytes_C, compute_V, fill_V, latency_H,
                tier_H, own_K, stream_L, ring_L, record_F,
            )  # fmt: skip
            to_walk(record_F, tier_count, walk_NW[untabled_D[d]])
        streams = queue_up(walk_NW, fetched_NS, queue_op_B, queue_tier_B, early_s_B)
        latency_P[p] = walk_timeline(
            walk_NW, fetched_NS, queue_op_B, queue_tier_B, early_s_B, ring_bytes, prefetch_ops
        )
        overflow_P[p] = overflow_bytes(
            homes_T, tier_H, resident_R, resident_bytes_RH, moving_M, moving_start_M,
            moving_end_M, moving_bytes_MH, fixed_LB, capacity_bytes_L,
            staging_bytes if streams else 0, delta_LB, sum_XH,
        )  # fmt: skip
