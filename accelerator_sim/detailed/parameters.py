"""What the detailed model needs to know of a machine and an accelerator file does not say."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryTiming:
    """How one memory strays from its sustained bandwidth.

    Attributes:
        banks: that requests are spread over by a hash of their addresses.
        row_bytes: consecutive bytes in one bank of a channel; then the next bank follows.
        channel_bytes_per_s: of one channel; a faster memory has several in lock step. 0 for a
            memory without channels.
        burst_bytes: least amount that is moved.
        conflict_s: lost when a request needs another row of the bank that is busy.
        conflict_bursts: the same, in times of one burst; both are added.
        turnaround_s: lost when reads follow writes or writes follow reads.
        refresh_interval_s: one refresh is due every so often; 0 for memories without refresh.
        refresh_s: how long a refresh blocks the memory.
    """

    banks: int = 1
    row_bytes: int = 1
    channel_bytes_per_s: float = 0.0
    burst_bytes: int = 1
    conflict_s: float = 0.0
    conflict_bursts: float = 0.0
    turnaround_s: float = 0.0
    refresh_interval_s: float = 0.0
    refresh_s: float = 0.0


LPDDR4X = MemoryTiming(
    banks=8,
    row_bytes=2048,
    channel_bytes_per_s=16.8e9,
    burst_bytes=64,
    conflict_s=4.2e-8,
    turnaround_s=1.2e-8,
    refresh_interval_s=3.9e-6,
    refresh_s=1.4e-7,
)
"""JESD209-4: 8 banks a channel; rows of 2 KiB; 32-bit channels of 4.2 GT/s; bursts of 16 beats;
precharge and activate of 18 ns each and the first access; all banks refreshed within
3.9 us, one bank at a time, which costs about half of what refreshing all at once does."""

BANKED_SRAM = MemoryTiming(banks=16, row_bytes=64, burst_bytes=64, conflict_bursts=1.0)
"""Sixteen single-ported banks, interleaved by line; a second access to a busy bank waits for it."""

IDEAL_MEMORY = MemoryTiming()
"""Always its sustained bandwidth."""


@dataclass(frozen=True, slots=True)
class DetailedParameters:
    """Assumptions of the detailed model, each with its reason.

    Attributes:
        outer: timing of the outermost tier where there are several: the DRAM.
        inner: timing of all other tiers.
        tile_slots: tiles in the tile buffer at a time, one computed while others are filled; 2 is
            double buffering, which is what accelerator files describe.
        max_steps: most steps that an op is simulated in; longer tile sequences are merged, but for
            the first and the last tile, which set fill and drain. Costs time, changes little.
        granularities: how finely the tiler may cut what fits the tile buffer; it takes the best.
        dma_depth: DMA transfers in flight: 4, as many as Ethos-U85 has.
        min_transfer_bytes: the compiler cuts a stream so that at least `transfers` of them overlap
            with the arithmetic, but none below this, where descriptors begin to cost.
        transfers: see `min_transfer_bytes`.
        max_transfers: beyond what the staging ring holds, slices are merged so that a stream has
            about this many; they still pass through the ring two slices at a time.
        barrier_cycles: for each level of a binary tree over the cores, at the end of an op; two
            hops of a ring stop and back. The launch overhead of the file comes on top.
        arbitration: between the running op's loads, stores and DMA transfers; prefetches come
            after all of them in either case.
        prefetch_tolerance: a stall below this share of the op is not worth a prefetch.
        seed: of the addresses where no plan gives them.
    """

    outer: MemoryTiming = LPDDR4X
    inner: MemoryTiming = BANKED_SRAM
    tile_slots: int = 2
    max_steps: int = 16
    granularities: tuple[int, ...] = (1, 3, 10)
    dma_depth: int = 4
    min_transfer_bytes: int = 4096
    transfers: int = 8
    max_transfers: int = 32
    barrier_cycles: float = 8.0
    arbitration: str = "round-robin"
    prefetch_tolerance: float = 0.01
    seed: int = 0


IDEAL = DetailedParameters(outer=IDEAL_MEMORY, inner=IDEAL_MEMORY, barrier_cycles=0.0)
"""No overheads: what is left is sharing, ordering and finite buffers."""
