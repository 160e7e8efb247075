"""Throughput mode: an inference per group of cores instead of one on all of them."""

from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.quantity import Quantity
from graph_ir.errors import InputError


def grouped(accelerator: Accelerator, groups: int) -> Accelerator:
    """The accelerator as `groups` independent inferences at a time see it.

    Each inference has its share of the cores. Shared memories and the interconnect serve all of
    them in turn, and hold the activations of all of them but every weight once.

    Args:
        accelerator: in latency mode.
        groups: into how many equal groups the cores are divided.

    Raises:
        InputError: the cores cannot be divided so.
    """
    cores = accelerator.core_count
    if groups < 1 or cores % groups:
        known = ", ".join(str(n) for n in range(1, cores + 1) if cores % n == 0)
        raise InputError(
            f"groups: expected one of {known}, since {accelerator.name} has {cores} cores, "
            f"got {groups}"
        )
    if groups == 1:
        return accelerator
    source = f"{cores} cores in {groups} groups"
    return replace(accelerator, cores=Quantity(value=cores // groups, source=source), groups=groups)
