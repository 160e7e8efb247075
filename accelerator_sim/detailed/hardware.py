"""What the requests of all programs meet: servers, cores and the DMA engine of one accelerator."""

from dataclasses import dataclass

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.detailed.parameters import IDEAL_MEMORY, DetailedParameters, MemoryTiming
from accelerator_sim.detailed.sharing import Servers


@dataclass(frozen=True, slots=True)
class Hardware:
    """Constants of a simulation.

    Attributes:
        bytes_per_s: of each server.
        timings: of each server.
        fair: requesters of a server take turns; otherwise the first kind of them goes first.
        launch_s: before each op.
        barrier_s: at the end of each op.
        tile_slots: tiles in the tile buffer at a time.
        slice_bytes: of the staging ring; two slices serve the running op.
        ring_bytes: all of the ring.
        prefetch_ops: how many ops ahead the DMA engine may read.
        dma_depth: prefetches in flight.
    """

    bytes_per_s: tuple[float, ...]
    timings: tuple[MemoryTiming, ...]
    fair: bool
    launch_s: float
    barrier_s: float
    tile_slots: int
    slice_bytes: float
    ring_bytes: float
    prefetch_ops: int
    dma_depth: int


def hardware_of(
    accelerator: Accelerator, servers: Servers, parameters: DetailedParameters
) -> Hardware:
    """The constants of an accelerator.

    Args:
        accelerator: the target.
        servers: of the target.
        parameters: of the model.
    """
    barrier_s = parameters.barrier_cycles * (accelerator.core_count - 1).bit_length()
    streaming = accelerator.streaming
    return Hardware(
        servers.bytes_per_s,
        tuple(_timing(server, servers, parameters) for server in range(len(servers.bytes_per_s))),
        parameters.arbitration == "round-robin",
        accelerator.launch_overhead_s.value,
        barrier_s / accelerator.clock_hz.value,
        parameters.tile_slots,
        float(streaming.slice_bytes),
        float(streaming.staging_bytes),
        streaming.prefetch_ops,
        parameters.dma_depth,
    )


def _timing(server: int, servers: Servers, parameters: DetailedParameters) -> MemoryTiming:
    """Links are ideal; the outermost of several tiers is the DRAM."""
    tiers = [server] if server < servers.tier_count else []
    tiers += [t for t, s in enumerate(servers.write_server) if s == server]
    if not tiers:
        return IDEAL_MEMORY
    return parameters.outer if tiers[0] == 0 < servers.tier_count - 1 else parameters.inner
