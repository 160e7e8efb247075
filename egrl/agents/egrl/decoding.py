"""From the policy's keys to placements that fit.

A key is a priority per tensor and a preference per tensor and home. Tensors go in by falling
priority, each into the home it prefers most among those with room (`egrl.placers.decoder`). Where
that leaves a tensor without room, those that may not live in the roomiest tier go in first.

Axis letters: P placements, T tensors, H homes.
"""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.state import Tables
from egrl.placers.decoder import Decoder, decode_kernel
from egrl.placers.falling import falling
from egrl.placers.fitting import Occupancy

F64 = NDArray[np.float64]


def decode_keys(
    decoder: Decoder, priority_PT: F64, preference_PTH: F64
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """The placements of P keys, and whether everything found a place.

    Args:
        decoder: of the problem.
        priority_PT: the highest is placed first; equals by index.
        preference_PTH: the highest is tried first, equals by index; minus infinity where a tensor
            may not live.
    """
    homes_PT = np.zeros(priority_PT.shape, np.int8)
    decoded_P = np.zeros(len(priority_PT), np.bool_)
    tables = decoder.tables
    roomiest_H = tables.tier_H == int(tables.capacity_bytes_L.argmax())
    confined = ~(tables.allowed_TH & roomiest_H).any(axis=1)[decoder.free]
    _decode(
        tables, decoder.occupancy, decoder.pinned, decoder.free, confined, decoder.ring_needed,
        priority_PT, preference_PTH, homes_PT, decoded_P,
    )  # fmt: skip
    return homes_PT, decoded_P


@compiled
def _decode(
    tables: Tables,
    occupancy: Occupancy,
    pinned: NDArray[np.int64],
    free: NDArray[np.int64],
    confined: NDArray[np.bool_],
    ring_needed: bool,
    priority_PT: F64,
    preference_PTH: F64,
    homes_PT: NDArray[np.int8],
    decoded_P: NDArray[np.bool_],
) -> None:
    tensor_count, home_count = preference_PTH.shape[1], preference_PTH.shape[2]
    choices_TH = np.empty((tensor_count, home_count), np.int8)
    first_T = np.zeros(tensor_count, np.int64)
    for p in range(priority_PT.shape[0]):
        for t in range(tensor_count):
            count = 0
            for h in range(home_count):
                choices_TH[t, h] = -1
                if preference_PTH[p, t, h] == -np.inf:
                    continue
                # Insertion sort: there are few homes, and equals must keep their order.
                place = count
                while (
                    place > 0
                    and preference_PTH[p, t, choices_TH[t, place - 1]] < preference_PTH[p, t, h]
                ):
                    choices_TH[t, place] = choices_TH[t, place - 1]
                    place -= 1
                choices_TH[t, place] = h
                count += 1
        order = free[falling(priority_PT[p][free])]
        decoded_P[p] = decode_kernel(
            tables, occupancy, pinned, order, choices_TH, first_T, ring_needed, homes_PT[p]
        )
        if not decoded_P[p] and confined.any():
            key = priority_PT[p][free]
            span = key.max() - key.min() + 1.0
            order = free[falling(key + span * confined)]
            decoded_P[p] = decode_kernel(
                tables, occupancy, pinned, order, choices_TH, first_T, ring_needed, homes_PT[p]
            )
