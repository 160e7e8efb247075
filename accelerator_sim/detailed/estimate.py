"""The compiler's view of one op: how long its steps take alone, without arbitration or conflicts.

Axis letters: R roles (left, right, all else), S steps, K servers, F flows (`LOAD`, `STORE`, `FILL`
of the staging ring, `DRAIN` of it).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]

LOAD, STORE, FILL, DRAIN = range(4)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one complete reading and writing of an op's operands asks of the servers.

    Attributes:
        seconds_FRK: of each server.
        latency_FR: of the slowest memory.
        ring_bytes_R: room that streams take in the ring.
    """

    seconds_FRK: F64
    latency_FR: F64
    ring_bytes_R: F64


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def estimate_s(
    share_RS: F64, mac_S: F64, vector_S: F64, seconds_FRK: F64, latency_FR: F64, ring_bytes_R: F64,
    early_bytes: float, tile_slots: int,
) -> float:  # fmt: skip
    """Seconds of the op alone, with the first `early_bytes` of its streams in the ring already."""
    roles, steps = share_RS.shape
    servers = seconds_FRK.shape[2]
    busy_K = np.zeros(servers)
    freed_S = np.zeros(steps)
    filled = arrived = loaded = ready = mac_end = vector_end = stored = 0.0
    early = early_bytes
    for s in range(steps):
        # Streams: what is not in the ring yet arrives one after another.
        needed = 0.0
        for r in range(roles):
            needed += share_RS[r, s] * ring_bytes_R[r]
        late = 0.0
        if needed > 0.0:
            late = max(0.0, needed - early) / needed
            early = max(0.0, early - needed)
        load = store = fill = drain = load_latency = fill_latency = 0.0
        for k in range(servers):
            load_k = store_k = fill_k = drain_k = 0.0
            for r in range(roles):
                share = share_RS[r, s]
                load_k += share * seconds_FRK[LOAD, r, k]
                store_k += share * seconds_FRK[STORE, r, k]
                fill_k += share * late * seconds_FRK[FILL, r, k]
                drain_k += share * seconds_FRK[DRAIN, r, k]
            load, store = max(load, load_k), max(store, store_k)
            fill, drain = max(fill, fill_k), max(drain, drain_k)
            busy_K[k] += load_k + store_k + fill_k + drain_k
        for r in range(roles):
            if share_RS[r, s] > 0.0:
                load_latency = max(load_latency, latency_FR[LOAD, r])
                fill_latency = max(fill_latency, latency_FR[FILL, r])
        start = loaded
        if s >= tile_slots:
            start = max(start, freed_S[s - tile_slots])
        loaded = start + load
        ready = max(ready, loaded + load_latency)
        if drain > 0.0:
            if fill > 0.0:
                filled += fill
                arrived = filled + fill_latency
            ready = max(ready, arrived) + drain
        mac_end = max(mac_end, ready) + mac_S[s]
        vector_end = max(vector_end, mac_end) + vector_S[s]
        freed_S[s] = mac_end if mac_S[s] > 0.0 else vector_end
        stored = max(stored, vector_end) + store
    return float(max(stored, busy_K.max()))
