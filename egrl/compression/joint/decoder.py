"""Precisions from keys: the decision that precision adds to those of a placer.

What every product would take in every precision follows from the homes of an incumbent; keys vary
these prices, and a knapsack turns them into precisions that keep to the bounds, the most seconds
for the least error first. The search draws keys at random. A policy that gives keys for every
product and precision, as it gives priorities for every tensor, has precision as a further head:
what it is decoded to is feasible whatever it says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import PlacementProblem
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.knapsack import cheapest
from egrl.compression.joint.model import Bounds
from egrl.compression.joint.placed import PlacedChoice, named_homes
from egrl.placers.op_hull import op_table

F64 = NDArray[np.float64]

SPREAD = 0.3
"""Prices are drawn up to so much cheaper or dearer."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a choice is decoded from.

    Attributes:
        late: between 0 and 1, how much of its streams an op is taken to wait for.
        byte_value: between 0 and 1, of the time that a byte takes from the slowest memory: bytes
            are worth something even where their own op does not wait for them, since they leave
            room on chip, or time on a shared bus, to others.
        price_SP: factors of every price.
    """

    late: float
    byte_value: float
    price_SP: F64


def draw_keys(rng: np.random.Generator, shape: tuple[int, ...]) -> Keys:
    """Keys at random, for S products and P precisions."""
    late, byte_value = rng.random(), rng.random()
    return Keys(late, byte_value, rng.uniform(1 - SPREAD, 1 + SPREAD, shape))


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
        self._problems, self._costs = problems, costs
        self._tables = [
            [op_table(problem, op) for ops in costs.ops_of_product for op in ops]
            for problem in problems
        ]
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
        seconds_SP = self._seconds(best, keys.late)
        seconds_SP += keys.byte_value * self._slowest_s_per_byte * costs.bytes_SP
        seconds_SP *= keys.price_SP
        weights, room = [], []
        if np.isfinite(bounds.error):
            weights.append(costs.error_squared_SP)
            room.append(bounds.error**2)
        if bounds.weight_bytes is not None:
            weights.append(costs.bytes_SP.astype(np.float64))
            room.append(float(bounds.weight_bytes - costs.other_bytes))
        if not weights:
            return tuple(np.where(free_S, seconds_SP.argmin(axis=1), now_S).tolist())
        weight_SPB, room_B = np.stack(weights, axis=2), np.array(room)
        fixed = np.flatnonzero(~free_S)
        room_B = room_B - weight_SPB[fixed, now_S[fixed]].sum(axis=0)
        found = cheapest(seconds_SP[free_S], weight_SPB[free_S], room_B)
        if found is None:
            return None
        now_S[free_S] = found
        return tuple(now_S.tolist())

    def _seconds(self, best: PlacedChoice, late: float) -> F64:
        """Time of each product's ops in each precision; `late` weighs late streams."""
        homes = best.homes
        seconds_SP = np.zeros(self._costs.error_squared_SP.shape)
        for p, (problem, tables) in enumerate(zip(self._problems, self._tables, strict=True)):
            homes_T = named_homes(problem, homes)
            for s, table in zip(self._product_of, tables, strict=True):
                if not table.complete:
                    seconds_SP[s, p] += float(table.early)
                    continue
                at = tuple(
                    int(np.searchsorted(allowed, homes_T[tensor]))
                    for tensor, allowed in zip(table.tensors, table.homes, strict=True)
                )
                seconds_SP[s, p] += (1 - late) * table.early[at] + late * table.late[at]
        return seconds_SP
