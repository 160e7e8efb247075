"""The timeline engine's compiled kernel (numba). `reference_engine.py` is its readable twin.

Two passes over the ops of one placement. The first prices every op alone and takes its best
variant: lowest time with all its streams late, then lowest time with none, then lowest index. The
second walks the timeline: a stream's remainder that the DMA queue did not bring in before the op
began is read while it runs, and the time that an op leaves idle on the outer tiers goes to the
queue (first in, first out; at most `prefetch_ops` ahead; no more than the ring holds).

Axis letters as in `problem.py`.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I8 = NDArray[np.int8]

EPSILON_S = 1e-15


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def price_ops(
    homes_T: I8, first: int, last: int,
    variant_start_N: I64, row_start_N: I64, row_tensor_E: I64, row_cell_E: I64,
    row_is_read_E: NDArray[np.bool_], cost_CK: F64, stream_C: F64, ring_bytes_C: F64,
    compute_V: F64, fill_V: F64, latency_H: F64, tier_H: I64,
    variant_N: I64, compute_N: F64, own_NK: F64, stream_NL: F64, ring_NL: F64,
    fill_N: F64, late_latency_N: F64,
) -> None:  # fmt: skip
    """First pass over ops `first` to `last`: fills the arrays of the last seven arguments."""
    home_count = tier_H.shape[0]
    resource_count = own_NK.shape[1]
    tier_count = stream_NL.shape[1]
    own_K = np.empty(resource_count)
    stream_L = np.empty(tier_count)
    ring_L = np.empty(tier_count)
    for i in range(first, last):
        best_late = np.inf
        best_early = np.inf
        row_from, row_to = row_start_N[i], row_start_N[i + 1]
        for v in range(variant_start_N[i + 1] - variant_start_N[i]):
            for k in range(resource_count):
                own_K[k] = 0.0
            for k in range(tier_count):
                stream_L[k] = 0.0
                ring_L[k] = 0.0
            for row in range(row_from, row_to):
                home = homes_T[row_tensor_E[row]]
                cell = row_cell_E[row] + v * home_count + home
                for k in range(resource_count):
                    own_K[k] += cost_CK[cell, k]
                if stream_C[cell] > 0.0:
                    stream_L[tier_H[home]] += stream_C[cell]
                    ring_L[tier_H[home]] += ring_bytes_C[cell]
            early = compute_V[variant_start_N[i] + v]
            for k in range(resource_count):
                early = max(early, own_K[k])
            late = early
            for k in range(tier_count):
                late = max(late, own_K[k] + stream_L[k])
            if late < best_late or (late == best_late and early < best_early):
                best_late, best_early = late, early
                variant_N[i] = v
                for k in range(resource_count):
                    own_NK[i, k] = own_K[k]
                for k in range(tier_count):
                    stream_NL[i, k] = stream_L[k]
                    ring_NL[i, k] = ring_L[k]
        compute_N[i] = compute_V[variant_start_N[i] + variant_N[i]]
        own_latency = 0.0
        late_latency = 0.0
        for row in range(row_from, row_to):
            if row_is_read_E[row]:
                home = homes_T[row_tensor_E[row]]
                cell = row_cell_E[row] + variant_N[i] * home_count + home
                if stream_C[cell] > 0.0:
                    late_latency = max(late_latency, latency_H[home])
                else:
                    own_latency = max(own_latency, latency_H[home])
        fill_N[i] = fill_V[variant_start_N[i] + variant_N[i]] + own_latency
        late_latency_N[i] = max(0.0, late_latency - own_latency)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def walk_timeline(
    compute_N: F64, own_NK: F64, stream_NL: F64, ring_NL: F64, fill_N: F64, late_latency_N: F64,
    fetched_NL: F64, ring_bytes: float, prefetch_ops: int,
) -> float:  # fmt: skip
    """Second pass: latency of the inference in seconds. `fetched_NL` is a scratch array."""
    op_count, resource_count = own_NK.shape
    tier_count = stream_NL.shape[1]
    total = 0.0
    occupied = 0.0
    queue_op, queue_tier = 0, 0
    for i in range(op_count):
        for k in range(tier_count):
            fetched_NL[i, k] = 0.0
    for i in range(op_count):
        duration = compute_N[i]
        late = False
        for k in range(resource_count):
            busy = own_NK[i, k]
            if k < tier_count:
                rest = stream_NL[i, k] - fetched_NL[i, k]
                if rest > EPSILON_S:
                    late = True
                    busy += rest
            duration = max(duration, busy)
        duration += fill_N[i]
        if late:
            duration += late_latency_N[i]
        total += duration
        if queue_op <= i:
            queue_op, queue_tier = i + 1, 0
        idle = duration
        while queue_op < op_count and queue_op <= i + prefetch_ops:
            k = queue_tier
            need = stream_NL[queue_op, k] - fetched_NL[queue_op, k]
            if need > EPSILON_S:
                busy = own_NK[i, k] + max(0.0, stream_NL[i, k] - fetched_NL[i, k])
                rate = 1.0 - busy / duration
                if rate <= 1e-12 or idle <= 0.0:
                    break
                bytes_per_s = ring_NL[queue_op, k] / stream_NL[queue_op, k]
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
        for k in range(tier_count):
            if fetched_NL[i, k] > 0.0:
                occupied -= fetched_NL[i, k] / stream_NL[i, k] * ring_NL[i, k]
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
def evaluate_batch_kernel(
    homes_PT: I8,
    variant_start_N: I64, row_start_N: I64, row_tensor_E: I64, row_cell_E: I64,
    row_is_read_E: NDArray[np.bool_], cost_CK: F64, stream_C: F64, ring_bytes_C: F64,
    compute_V: F64, fill_V: F64, latency_H: F64, tier_H: I64,
    size_bytes_TH: I64, start_T: I64, end_T: I64, capacity_bytes_L: I64,
    staging_bytes: int, ring_bytes: float, prefetch_ops: int,
    latency_P: F64, overflow_P: I64,
) -> None:  # fmt: skip
    """Latency and overflow of every placement of a population."""
    op_count = row_start_N.shape[0] - 1
    tier_count = capacity_bytes_L.shape[0]
    variant_N = np.empty(op_count, np.int64)
    compute_N = np.empty(op_count)
    own_NK = np.empty((op_count, cost_CK.shape[1]))
    stream_NL = np.empty((op_count, tier_count))
    ring_NL = np.empty((op_count, tier_count))
    fetched_NL = np.empty((op_count, tier_count))
    fill_N = np.empty(op_count)
    late_latency_N = np.empty(op_count)
    delta_NL = np.empty((op_count + 1, tier_count), np.int64)
    for p in range(homes_PT.shape[0]):
        homes_T = homes_PT[p]
        price_ops(
            homes_T, 0, op_count, variant_start_N, row_start_N, row_tensor_E, row_cell_E,
            row_is_read_E, cost_CK, stream_C, ring_bytes_C, compute_V, fill_V, latency_H, tier_H,
            variant_N, compute_N, own_NK, stream_NL, ring_NL, fill_N, late_latency_N,
        )  # fmt: skip
        streams = False
        for i in range(op_count):
            for k in range(tier_count):
                if stream_NL[i, k] > 0.0:
                    streams = True
        latency_P[p] = walk_timeline(
            compute_N, own_NK, stream_NL, ring_NL, fill_N, late_latency_N, fetched_NL,
            ring_bytes, prefetch_ops,
        )  # fmt: skip
        overflow_P[p] = overflow_bytes(
            homes_T, tier_H, size_bytes_TH, start_T, end_T, capacity_bytes_L,
            staging_bytes, streams, delta_NL,
        )  # fmt: skip
