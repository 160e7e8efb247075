"""How a workload's bytes and an accelerator's memories compare, and making them compete."""

import numpy as np
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator, Tier
from accelerator_sim.quantity import Quantity
from egrl.generator.draws import log_uniform
from egrl.generator.tiers import SMALLEST_TIER_BYTES, with_tiers
from graph_ir.workload import TensorKind, Workload

LEAST_SHARE, MOST_SHARE = 0.02, 1.2
"""What the innermost memory holds of the weights and the peak of activations."""

_WRITABLE_MARGIN = 1.3
"""Room for layout rounding, alignment and fragments where activations must be."""


def peak_buffer_bytes(workload: Workload, channel_quantum: int = 1) -> int:
    """Most bytes of all that is not a weight at any op, channels rounded up."""
    change = np.zeros(len(workload.ops) + 1, np.int64)
    for tensor in workload.tensors:
        if tensor.kind is TensorKind.WEIGHT:
            continue
        channels = max(1, tensor.channels)
        size = tensor.size_bytes * (-(-channels // channel_quantum) * channel_quantum) // channels
        change[tensor.start] += size
        change[tensor.end] -= size
    return int(change.cumsum().max())


def total_bytes(workload: Workload) -> int:
    """Weights and the peak of all else."""
    return workload.weight_bytes + peak_buffer_bytes(workload)


def inner_bytes(accelerator: Accelerator) -> float:
    """What the innermost tier holds of different bytes, all cores together."""
    tier = accelerator.tiers[-1]
    return tier.capacity_bytes.value * _copies(tier, accelerator)


def contested(
    accelerator: Accelerator, workload: Workload, rng: np.random.Generator
) -> Accelerator:
    """All memories but the outermost scaled alike; the innermost then holds a share of the bytes.

    The share is drawn, log-uniform from `LEAST_SHARE` to `MOST_SHARE`.
    """
    share = log_uniform(rng, LEAST_SHARE, MOST_SHARE)
    factor = share * total_bytes(workload) / inner_bytes(accelerator)
    tiers = accelerator.tiers
    scaled = [_resized(tier, tier.capacity_bytes.value * factor) for tier in tiers[1:]]
    return with_tiers(accelerator, [tiers[0], *scaled])


def roomy(accelerator: Accelerator, workload: Workload) -> Accelerator:
    """The accelerator, its outer memories made large enough for the workload where they are not."""
    buffers = round(
        peak_buffer_bytes(workload, accelerator.layout_channels) * _WRITABLE_MARGIN
    ) * accelerator.groups  # fmt: skip
    tiers = list(accelerator.tiers)
    outer = next(at for at, tier in enumerate(tiers) if not tier.read_only)
    for at in range(outer + 1):
        least = buffers if at == outer else 0
        if at == 0:
            least += round(workload.weight_bytes * _WRITABLE_MARGIN)
        least = max(least, buffers)
        if tiers[at].capacity_bytes.value < least:
            tiers[at] = _resized(tiers[at], least)
    return with_tiers(accelerator, tiers)


def _copies(tier: Tier, accelerator: Accelerator) -> int:
    """Cores whose memories hold different bytes."""
    return accelerator.core_count if "partitioned" in tier.weight_modes else 1


def _resized(tier: Tier, capacity: float) -> Tier:
    reason = f"{tier.capacity_bytes.reason}, scaled to the workload"
    value = max(SMALLEST_TIER_BYTES, round(capacity))
    return replace(tier, capacity_bytes=Quantity(value=value, assumed=True, reason=reason))
