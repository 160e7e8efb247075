"""Live bytes per tier while tensors move in and out.

Tensors that live from the first op to the last are counted apart from the others.
"""

from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.state import (
    END,
    PEAK,
    RESIDENT,
    START,
    STREAMING,
    State,
    Tables,
)


@compiled
def put(tables: Tables, state: State, t: int, home: int) -> None:
    """Add the live bytes of a tensor in a home."""
    size = tables.size_bytes_TH[t, home]
    k = tables.tier_H[home]
    start, end = tables.tensor_TF[t, START], tables.tensor_TF[t, END]
    if end - start == state.live_LN.shape[1]:
        state.tier_LF[k, RESIDENT] += size
        return
    peak = state.tier_LF[k, PEAK]
    for i in range(start, end):
        state.live_LN[k, i] += size
        peak = max(peak, state.live_LN[k, i])
    state.tier_LF[k, PEAK] = peak


@compiled
def take(tables: Tables, state: State, t: int, home: int) -> None:
    """Remove the live bytes of a tensor from a home."""
    size = tables.size_bytes_TH[t, home]
    k = tables.tier_H[home]
    start, end = tables.tensor_TF[t, START], tables.tensor_TF[t, END]
    op_count = state.live_LN.shape[1]
    if end - start == op_count:
        state.tier_LF[k, RESIDENT] -= size
        return
    highest = 0
    for i in range(start, end):
        highest = max(highest, state.live_LN[k, i])
        state.live_LN[k, i] -= size
    if highest == state.tier_LF[k, PEAK]:
        peak = 0
        for i in range(op_count):
            peak = max(peak, state.live_LN[k, i])
        state.tier_LF[k, PEAK] = peak


@compiled
def tier_overflow(tables: Tables, state: State, k: int) -> int:
    """Bytes by which one tier is over its capacity at its worst op; negative is room."""
    used = state.tier_LF[k, RESIDENT] + state.tier_LF[k, PEAK]
    if state.counter_F[STREAMING] > 0 and k == tables.capacity_bytes_L.shape[0] - 1:
        used += tables.staging_bytes
    return int(used - tables.capacity_bytes_L[k])


@compiled
def overflow(tables: Tables, state: State) -> int:
    """Most bytes by which any tier is over its capacity at any op; 0 where all fit."""
    worst = 0
    for k in range(tables.capacity_bytes_L.shape[0]):
        worst = max(worst, tier_overflow(tables, state, k))
    return worst
