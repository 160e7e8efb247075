"""Byte offsets for a placement: one allocation per tier, the staging ring included.

Whole-lifetime buffers and buffers of single ops are all the same to the allocator. The outermost
tier also holds `@image`, the copy of the weights that are loaded inwards before the first
inference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.allocate import Allocation, Buffer, allocate, allocate_arrays
from accelerator_sim.plan import IMAGE_TENSOR, STAGING_TENSOR
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.reference_engine import uses_staging
from graph_ir.workload import TensorKind


@dataclass(frozen=True, slots=True)
class TierAllocation:
    """Offsets in one tier.

    Attributes:
        tier: index.
        names: of the buffers.
        sizes_bytes: of the buffers (per core in a per-core tier).
        allocation: their offsets, or why there are none.
    """

    tier: int
    names: tuple[str, ...]
    sizes_bytes: tuple[int, ...]
    allocation: Allocation


def tier_buffers(problem: PlacementProblem, homes: Sequence[int]) -> list[list[Buffer]]:
    """The buffers of every tier, in workload order; then the ring and the image."""
    accelerator = problem.accelerator
    size_TH = problem.arrays.size_bytes_TH
    buffers: list[list[Buffer]] = [[] for _ in accelerator.tiers]
    image_bytes = 0
    for t, tensor in enumerate(problem.workload.tensors):
        if tensor.alias_of is not None or tensor.size_bytes == 0:
            continue
        home = problem.homes[homes[t]]
        alignment = accelerator.tiers[home.tier].alignment_bytes
        buffers[home.tier].append(
            Buffer(tensor.name, tensor.start, tensor.end, int(size_TH[t, homes[t]]), alignment)
        )
        if tensor.kind is TensorKind.WEIGHT and home.tier > 0:
            outer = accelerator.tiers[0].alignment_bytes
            image_bytes += -(-tensor.size_bytes // outer) * outer
    last = max(1, problem.op_count)
    if uses_staging(problem, homes):
        inner = accelerator.tiers[-1]
        buffers[-1].append(
            Buffer(
                STAGING_TENSOR, 0, last, accelerator.streaming.staging_bytes, inner.alignment_bytes
            )
        )
    if image_bytes > 0:
        buffers[0].append(
            Buffer(IMAGE_TENSOR, 0, last, image_bytes, accelerator.tiers[0].alignment_bytes)
        )
    return buffers


def allocate_tiers(problem: PlacementProblem, homes: Sequence[int]) -> list[TierAllocation]:
    """Allocate every tier; an allocation that is not feasible says how high it came."""
    result = []
    for index, buffers in enumerate(tier_buffers(problem, homes)):
        capacity = int(problem.accelerator.tiers[index].capacity_bytes.value)
        names = tuple(buffer.name for buffer in buffers)
        sizes = tuple(buffer.size_bytes for buffer in buffers)
        result.append(TierAllocation(index, names, sizes, allocate(buffers, capacity)))
    return result


def has_addresses(problem: PlacementProblem, homes_T: NDArray[np.int8]) -> bool:
    """Whether every tier's buffers have offsets within its capacity.

    The buffers are those of `tier_buffers`, without a name or an object each: searches ask for
    every incumbent.
    """
    accelerator, a = problem.accelerator, problem.arrays
    tier_T = a.tier_H[homes_T]
    size_T = a.size_bytes_TH[np.arange(len(homes_T)), homes_T]
    image_bytes = int(a.image_bytes_T[tier_T > 0].sum())
    ring_bytes = accelerator.streaming.staging_bytes
    inner = len(accelerator.tiers) - 1
    rings = bool((a.streamed_T & (tier_T != inner)).any())
    for k, tier in enumerate(accelerator.tiers):
        whole = [ring_bytes] * (k == inner and rings) + [image_bytes] * (k == 0 and image_bytes > 0)
        here = np.flatnonzero((tier_T == k) & (size_T > 0))
        found = allocate_arrays(
            np.append(a.start_T[here], [0] * len(whole)),
            np.append(a.end_T[here], [max(1, problem.op_count)] * len(whole)),
            np.append(size_T[here], np.array(whole, np.int64)),
            np.full(len(here) + len(whole), tier.alignment_bytes, np.int64),
            int(tier.capacity_bytes.value),
        )
        if not found.feasible:
            return False
    return True
