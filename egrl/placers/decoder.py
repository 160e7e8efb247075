"""The greedy decoder: an order of the tensors and preferred homes in, a placement that fits out.

Tensors are placed one after another, each in the first home of its list in which it fits beside
all that is already placed, over its whole lifetime. What has only one home is placed before all
else. The staging ring is accounted as follows: a first attempt reserves no ring and holds if no
weight or state ends up outside the innermost tier; otherwise everything is placed again with the
ring reserved from the beginning.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.state import END, START, STREAMED, Tables, build_tables
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.value import TensorValues, value_tensors
from egrl.placers.fitting import Occupancy, clear, empty_occupancy, fits, occupy
from egrl.placers.no_room import no_room

I64 = NDArray[np.int64]
I8 = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Decoder:
    """The decoder of one problem.

    Attributes:
        problem: what is placed.
        tables: of the problem.
        values: of its tensors.
        pinned: tensors with one home.
        free: the others.
        ring_needed: some weight or state cannot be in the innermost tier, whatever the order.
        occupancy: scratch.
    """

    problem: PlacementProblem
    tables: Tables
    values: TensorValues
    pinned: I64
    free: I64
    ring_needed: bool
    occupancy: Occupancy

    def decode(self, order: I64, choices_TH: I8 | None = None, first_T: I64 | None = None) -> I8:
        """The placement of one order.

        Args:
            order: the free tensors, first to be placed first.
            choices_TH: homes of each tensor in the order in which they are tried, -1 after the
                last; by default from the innermost tier to the outermost.
            first_T: position in that list to begin at; after its end come the earlier ones, from
                there backwards. By default 0.

        Raises:
            UnmetRequirementError: a tensor fits nowhere any more.
        """
        homes_T = np.zeros(len(self.values.ideal_T), np.int8)
        choices = self.values.order_TH if choices_TH is None else choices_TH
        first = np.zeros(len(homes_T), np.int64) if first_T is None else first_T
        if not decode_kernel(
            self.tables, self.occupancy, self.pinned, order, choices, first,
            self.ring_needed, homes_T,
        ):  # fmt: skip
            raise no_room(self.problem)
        return homes_T


def build_decoder(problem: PlacementProblem) -> Decoder:
    """The decoder of a problem."""
    tables = build_tables(problem)
    values = value_tensors(problem, tables)
    a = problem.arrays
    inner = len(a.capacity_bytes_L) - 1
    inner_TH = problem.allowed_TH & (a.tier_H == inner)
    least_T = np.where(inner_TH, a.size_bytes_TH, np.iinfo(np.int64).max).min(axis=1)
    streamed = np.flatnonzero(tables.tensor_TF[:, STREAMED])
    ring_needed = bool((~inner_TH.any(axis=1))[streamed].any())
    if not ring_needed:
        ring_needed = int(least_T[streamed].sum()) > int(a.capacity_bytes_L[inner])
    homes_per_T = problem.allowed_TH.sum(axis=1)
    return Decoder(
        problem,
        tables,
        values,
        np.flatnonzero(homes_per_T == 1),
        np.flatnonzero(homes_per_T > 1),
        ring_needed,
        empty_occupancy(len(a.capacity_bytes_L), problem.op_count),
    )


@compiled
def decode_kernel(
    tables: Tables,
    occupancy: Occupancy,
    pinned: I64,
    order: I64,
    choices_TH: I8,
    first_T: I64,
    ring_needed: bool,
    homes_T: I8,
) -> bool:
    """Fill `homes_T`; False where some tensor fits nowhere."""
    inner = tables.capacity_bytes_L.shape[0] - 1
    for attempt in range(1 if ring_needed else 0, 2):
        clear(occupancy)
        if attempt == 1:
            occupancy.resident_L[inner] = tables.staging_bytes
        placed = True
        streams = False
        for n in range(pinned.shape[0] + order.shape[0]):
            t = pinned[n] if n < pinned.shape[0] else order[n - pinned.shape[0]]
            start, end = tables.tensor_TF[t, START], tables.tensor_TF[t, END]
            count = 0
            while count < choices_TH.shape[1] and choices_TH[t, count] >= 0:
                count += 1
            found = False
            for attempted in range(count):
                position = first_T[t] + attempted
                if position >= count:
                    position = count - 1 - attempted
                home = choices_TH[t, position]
                tier = tables.tier_H[home]
                size = tables.size_bytes_TH[t, home]
                if fits(occupancy, tier, start, end, size, tables.capacity_bytes_L[tier]):
                    occupy(occupancy, tier, start, end, size)
                    homes_T[t] = home
                    streams = streams or (tables.tensor_TF[t, STREAMED] > 0 and tier != inner)
                    found = True
                    break
            if not found:
                placed = False
                break
            if streams and attempt == 0:
                break
        if placed and (attempt == 1 or not streams):
            # A ring larger than its tier fits nothing.
            return bool(occupancy.resident_L[inner] <= tables.capacity_bytes_L[inner])
    return False
