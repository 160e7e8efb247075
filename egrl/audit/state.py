"""A plan under change: its homes, the bytes live in every tier at every op, its latency."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from egrl.audit.cost import CostTable

Change = tuple[int, int]
"""A tensor and the tier that it goes to."""


class State:
    """Homes with the live bytes and op times that follow from them, kept up to date.

    Attributes:
        table: the problem.
        homes: tier index of every tensor.
        live_MN: bytes live in each tier at each op, int64.
        op_seconds: time of every op.
    """

    def __init__(self, table: CostTable, homes: Sequence[int]) -> None:
        self.table = table
        self.homes = list(homes)
        self.live_MN = live_bytes(table, homes)
        self.op_seconds = [rule.seconds(self.homes) for rule in table.rules_N]

    @property
    def seconds(self) -> float:
        """Latency: the sum over the ops, in their order."""
        return sum(self.op_seconds)

    def room(self, tensor: int, tier: int) -> bool:
        """True where `tensor`, which is not in `tier`, fits there beside what is in it."""
        capacity = self.table.capacity_bytes_M[tier]
        if capacity is None:
            return True
        span = self.live_MN[tier, self.table.start_T[tensor] : self.table.end_T[tensor]]
        return int(span.max()) + self.table.size_bytes_T[tensor] <= capacity

    def gain(self, changes: Sequence[Change]) -> float:
        """Seconds saved by changes of distinct tensors made together; negative where they cost."""
        table = self.table
        old = [self.homes[tensor] for tensor, _ in changes]
        if len(changes) == 1:
            touched: Sequence[int] = table.ops_T[changes[0][0]]
        else:
            touched = sorted({op for tensor, _ in changes for op in table.ops_T[tensor]})
        for tensor, tier in changes:
            self.homes[tensor] = tier
        gain = 0.0
        for op in touched:
            gain += self.op_seconds[op] - table.rules_N[op].seconds(self.homes)
        for (tensor, _), home in zip(changes, old, strict=True):
            self.homes[tensor] = home
        return gain

    def fits(self, changes: Sequence[Change]) -> bool:
        """True where changes of distinct tensors made together keep every tier in its capacity."""
        done: list[Change] = []
        for tensor, tier in changes:
            done.append((tensor, self.homes[tensor]))
            self._move_bytes(tensor, tier)
            self.homes[tensor] = tier
        tiers = sorted({tier for _, tier in changes})
        fits = all(self._tier_fits(tier, changes) for tier in tiers)
        for tensor, tier in reversed(done):
            self._move_bytes(tensor, tier)
            self.homes[tensor] = tier
        return fits

    def apply(self, changes: Sequence[Change]) -> None:
        """Makes the changes, whether they fit or not."""
        for tensor, tier in changes:
            self._move_bytes(tensor, tier)
            self.homes[tensor] = tier
        for op in sorted({op for tensor, _ in changes for op in self.table.ops_T[tensor]}):
            self.op_seconds[op] = self.table.rules_N[op].seconds(self.homes)

    def _tier_fits(self, tier: int, changes: Sequence[Change]) -> bool:
        capacity = self.table.capacity_bytes_M[tier]
        if capacity is None:
            return True
        return all(
            int(self.live_MN[tier, self.table.start_T[t] : self.table.end_T[t]].max()) <= capacity
            for t, to in changes
            if to == tier
        )

    def _move_bytes(self, tensor: int, tier: int) -> None:
        span = slice(self.table.start_T[tensor], self.table.end_T[tensor])
        size = self.table.size_bytes_T[tensor]
        self.live_MN[self.homes[tensor], span] -= size
        self.live_MN[tier, span] += size


def live_bytes(table: CostTable, homes: Sequence[int]) -> NDArray[np.int64]:
    """Bytes live in each tier at each op, shape [M, N]."""
    steps = np.zeros((len(table.tier_names_M), len(table.rules_N) + 1), dtype=np.int64)
    for tensor, tier in enumerate(homes):
        steps[tier, table.start_T[tensor]] += table.size_bytes_T[tensor]
        steps[tier, table.end_T[tensor]] -= table.size_bytes_T[tensor]
    return np.cumsum(steps, axis=1)[:, :-1]


def is_feasible(table: CostTable, homes: Sequence[int]) -> bool:
    """True where every tensor is in a tier that may hold it and no tier is ever over capacity."""
    if any(tier not in table.allowed_T[tensor] for tensor, tier in enumerate(homes)):
        return False
    live_MN = live_bytes(table, homes)
    return all(
        capacity is None or int(live_MN[m].max()) <= capacity
        for m, capacity in enumerate(table.capacity_bytes_M)
    )
