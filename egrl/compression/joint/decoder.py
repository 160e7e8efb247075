"""Precisions from keys: the decision that precision adds to those of a placer.

What every product would take in every precision follows from the homes of an incumbent; keys vary
these prices, and a knapsack turns them into precisions that keep to the bounds, the most seconds
for the least error first. Keys are drawn at random, or by the agent's precision head (`head.py`):
what they are decoded to is feasible whatever they say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import PlacementProblem
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.keys import Keys
from egrl.compression.joint.knapsack import cheapest
from egrl.compression.joint.model import Bounds
from egrl.compression.joint.placed import PlacedChoice, named_homes
from egrl.placers.op_hull import op_table

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prices:
    """What homes say that every product takes in every precision.

    Attributes:
        early_SP: seconds of its ops, streams aside.
        late_SP: with all streams late.
        byte_SP: seconds that its bytes take from the slowest memory.
    """

    early_SP: F64
    late_SP: F64
    byte_SP: F64


class PrecisionDecoder:
    """Decodes keys into precisions."""

    def __init__(
        self, problems: Sequence[PlacementProblem], costs: ChoiceCosts, accelerator: Accelerator
    ) -> None:
        """Look up what homes cost.

        Args:
            problems: one for each precision, all products in it.
            costs: of all choices.
            accelerator: the target.
        """
        self.problems, self._costs = problems, costs
        self._tables = [
            [op_table(problem, op) for ops in costs.ops_of_product for op in ops]
            for problem in problems
        ]
        self._seen: tuple[tuple[tuple[str, int], ...], Prices] | None = None
        self._product_of = [s for s, ops in enumerate(costs.ops_of_product) for _ in ops]
        slowest = min(tier.read_bytes_per_s.value for tier in accelerator.tiers)
        self._slowest_s_per_byte = 1.0 / slowest

    def decode(
        self, best: PlacedChoice, bounds: Bounds, keys: Keys, free_S: NDArray[np.bool_]
    ) -> tuple[int, ...] | None:
        """Precisions by prices under the incumbent's homes.

        Args:
            best: the incumbent.
            bounds: to keep to, by the sum of parts.
            keys: to decode.
            free_S: the products that are decided; the others stay as they are.

        Returns:
            None where no choice was found that keeps to the bounds.
        """
        costs = self._costs
        now_S = np.array(best.choice_S, np.int64)
        if not free_S.any():
            return best.choice_S
        prices = self.prices(best.homes)
        late_S1, value_S1 = keys.late_S[:, np.newaxis], keys.byte_value_S[:, np.newaxis]
        seconds_SP = (1 - late_S1) * prices.early_SP + late_S1 * prices.late_SP
        seconds_SP = keys.price_SP * (seconds_SP + value_S1 * prices.byte_SP)
        # Never cheaper than the precision that they stand for, which has the same bytes and error.
        seconds_SP[costs.stands_in_SP] = 2.0 * float(seconds_SP.max())
        weights, room = [], []
        if np.isfinite(bounds.error):
            weights.append(costs.error_squared_SP)
            room.append(bounds.error**2)
        if bounds.weight_bytes is not None:
            weights.append(costs.bytes_SP.astype(np.float64))
            room.append(float(bounds.weight_bytes - costs.other_bytes))
        if not weights:
            return costs.real(np.where(free_S, seconds_SP.argmin(axis=1), now_S).tolist())
        weight_SPB, room_B = np.stack(weights, axis=2), np.array(room)
        fixed = np.flatnonzero(~free_S)
        room_B = room_B - weight_SPB[fixed, now_S[fixed]].sum(axis=0)
        found = cheapest(seconds_SP[free_S], weight_SPB[free_S], room_B)
        if found is None:
            return None
        now_S[free_S] = found
        return costs.real(now_S.tolist())

    def prices(self, homes: Mapping[str, int]) -> Prices:
        """What every product takes in every precision under homes by tensor name."""
        known = tuple(sorted(homes.items()))
        if self._seen is not None and self._seen[0] == known:
            return self._seen[1]
        early_SP = np.zeros(self._costs.error_squared_SP.shape)
        late_SP = np.zeros(early_SP.shape)
        for p, (problem, tables) in enumerate(zip(self.problems, self._tables, strict=True)):
            homes_T = named_homes(problem, homes)
            for s, table in zip(self._product_of, tables, strict=True):
                if not table.complete:
                    early_SP[s, p] += float(table.early)
                    late_SP[s, p] += float(table.early)
                    continue
                at = tuple(
                    int(np.searchsorted(allowed, homes_T[tensor]))
                    for tensor, allowed in zip(table.tensors, table.homes, strict=True)
                )
                early_SP[s, p] += table.early[at]
                late_SP[s, p] += table.late[at]
        byte_SP = self._slowest_s_per_byte * self._costs.bytes_SP.astype(np.float64)
        prices = Prices(early_SP, late_SP, byte_SP)
        self._seen = known, prices
        return prices
