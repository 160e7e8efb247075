"""How full tiers get, where a plan overflows, and what would have to give."""

from collections.abc import Sequence

import numpy as np

from egrl.audit.cost import CostTable
from egrl.audit.result import Overflow, TierUse
from egrl.audit.state import live_bytes

MAX_NAMED = 8


def tier_use(table: CostTable, homes: Sequence[int]) -> list[TierUse]:
    """Peak of live bytes of every tier."""
    live_MN = live_bytes(table, homes)
    return [
        TierUse(name, table.capacity_bytes_M[m], int(live_MN[m].max()))
        for m, name in enumerate(table.tier_names_M)
    ]


def overflows(table: CostTable, homes: Sequence[int]) -> list[Overflow]:
    """Tiers over capacity, most bytes over first."""
    live_MN = live_bytes(table, homes)
    found: list[Overflow] = []
    for tier, capacity in enumerate(table.capacity_bytes_M):
        if capacity is None:
            continue
        op = int(live_MN[tier].argmax())
        peak = int(live_MN[tier, op])
        if peak <= capacity:
            continue
        live = [
            tensor
            for tensor, home in enumerate(homes)
            if home == tier and table.start_T[tensor] <= op < table.end_T[tensor]
        ]
        live.sort(key=lambda t: (-table.size_bytes_T[t], t))
        found.append(
            Overflow(
                tier=table.tier_names_M[tier],
                capacity_bytes=capacity,
                peak_bytes=peak,
                over_bytes=peak - capacity,
                op=table.problem.ops[op].name,
                op_index=op,
                ops_over=int(np.count_nonzero(live_MN[tier] > capacity)),
                largest=[table.tensor_names_T[t] for t in live[:MAX_NAMED]],
                largest_bytes=[table.size_bytes_T[t] for t in live[:MAX_NAMED]],
            )
        )
    return sorted(found, key=lambda o: (-o.over_bytes, o.tier))


def demand_lines(table: CostTable) -> tuple[str, ...]:
    """Why nothing may fit: the most loaded op against all capacity, pins, tensors too large."""
    lines: list[str] = []
    everything = [0] * len(table.size_bytes_T)
    total_N = live_bytes(table, everything)[0]
    op = int(total_N.argmax())
    capacities = [c for c in table.capacity_bytes_M if c is not None]
    if len(capacities) == len(table.capacity_bytes_M):
        lines.append(
            f"op {op} ({table.problem.ops[op].name!r}) has {int(total_N[op])} bytes live, "
            f"all tiers together hold {sum(capacities)}"
        )
    forced = [tiers[0] if len(tiers) == 1 else -1 for tiers in table.allowed_T]
    for tier, capacity in enumerate(table.capacity_bytes_M):
        if capacity is None:
            continue
        bytes_N = np.zeros(len(table.rules_N) + 1, dtype=np.int64)
        for tensor, home in enumerate(forced):
            if home == tier:
                bytes_N[table.start_T[tensor]] += table.size_bytes_T[tensor]
                bytes_N[table.end_T[tensor]] -= table.size_bytes_T[tensor]
        peak = int(np.cumsum(bytes_N).max())
        if peak > capacity:
            lines.append(
                f"pins and single-tier tensors put {peak} bytes into "
                f"{table.tier_names_M[tier]!r} of {capacity} bytes ({peak - capacity} too many)"
            )
    for tensor, tiers in enumerate(table.allowed_T):
        size = table.size_bytes_T[tensor]
        room = [table.capacity_bytes_M[m] for m in tiers]
        if all(c is not None and size > c for c in room) and len(lines) < MAX_NAMED:
            lines.append(
                f"{table.tensor_names_T[tensor]!r} has {size} bytes, more than any tier that may "
                f"hold it"
            )
    return tuple(lines)
