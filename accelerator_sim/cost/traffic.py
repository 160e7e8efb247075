"""Bytes and seconds that one operand asks of the memories, for the home that it has.

Resources are the tiers (by index), then the interconnect, then the port of one core, then the
write ports of tiers that have their own, then the streams that have a bound of their own. Rules
(DESIGN.md, "Cores" and "The timeline"):

- a shared tier is charged the unique bytes once where the target multicasts (the overlap that two
  cores both need too), and no core draws more than its port gives;
- a replicated tensor is read at the core's own bandwidth; writing one sends every core's share to
  all others over the interconnect and through their ports;
- a partitioned tensor is local to an op that splits it the same way (weights and states by
  columns, activations by rows, scratch as its op is split) but for the overlap with its
  neighbours; any other op pays the exchange;
- a weight or state of an outer tier is streamed: its time on that tier is a stream of the DMA,
  and the op itself reads it from the staging ring in the innermost tier. DMA writes into the ring
  use the innermost tier's other port and are not charged to the op;
- a state that an earlier op of the same inference wrote is read from its home directly, and what
  is written of a state goes to its home;
- independent inferences on groups of cores take turns on what they share: all seconds of shared
  tiers and of the interconnect count once per group.
"""

from dataclasses import dataclass, replace
from typing import Literal

from accelerator_sim.accelerator import Accelerator, Home, Tier
from accelerator_sim.cost.variants import Variant, core_share
from graph_ir.workload import Operand, Role, Split, TensorKind

STREAMED_KINDS = (TensorKind.WEIGHT, TensorKind.STATE)

Stream = Literal["input", "weights", "parameters", "output", "copy"]
STREAMS: tuple[Stream, ...] = ("input", "weights", "parameters", "output")
"""Streams of an op; `copy` is the DMA's."""


@dataclass(frozen=True, slots=True)
class OperandUse:
    """What an op asks of every resource for one operand.

    Attributes:
        read_bytes: by tier index, what the tier is charged (per core in a per-core tier).
        written_bytes: by tier index.
        interconnect_bytes: unique bytes.
        port_bytes: of one core.
        stream_tier: tier that the DMA streams it from, or -1.
        stream_bytes: bytes that tier is charged, re-reads included (per core in a per-core tier).
        stream_s: time of that stream alone.
        ring_bytes: room in the staging ring (per core where the ring is) for all of it.
        reading_cores: how many cores' copies of a per-core tier are read.
        fetches: how often the DMA brings it in.
        stream: key of `Tier.stream_bytes_per_s`.
    """

    read_bytes: tuple[float, ...]
    written_bytes: tuple[float, ...]
    interconnect_bytes: float
    port_bytes: float
    stream_tier: int
    stream_bytes: float
    stream_s: float
    ring_bytes: float
    reading_cores: int
    fetches: int = 1
    stream: str = ""


def operand_use(
    operand: Operand,
    kind: TensorKind,
    home: Home,
    variant: Variant,
    passes: int,
    accelerator: Accelerator,
    stored_ratio: float = 1.0,
) -> OperandUse:
    """Traffic of one operand.

    Args:
        operand: as the op uses it.
        kind: of its tensor.
        home: where the tensor lives.
        variant: how the cores share the op.
        passes: how often the operand is read.
        accelerator: the target.
        stored_ratio: stored bytes over packed bytes (layout rounding).
    """
    cores, active, split = accelerator.core_count, variant.cores, variant.split
    split_here = split in operand.split_by and active > 1
    stored_ratio *= variant.form(operand.role)
    stored_ratio *= _burst_ratio(operand, kind, home, variant, accelerator)
    stream = stream_name(operand.role, kind)
    whole = operand.traffic_bytes * stored_ratio
    share = core_share(operand, split, active) * stored_ratio
    charged = _charged_bytes(operand, variant, accelerator) * stored_ratio
    inner = len(accelerator.tiers) - 1
    # What this inference wrote cannot be fetched ahead: it is read as an activation would be.
    streams = accelerator.streaming.path == "ring" and home.tier != inner and not operand.fresh
    # Where constants beside the weights have a read buffer of their own, they bypass the ring.
    streams &= (
        stream != "parameters" or stream not in accelerator.tiers[home.tier].stream_bytes_per_s
    )
    if streams and kind in STREAMED_KINDS and operand.role is not Role.OUTPUT:
        repeats = variant.repeats(operand.role, kind)
        return replace(
            _streamed_use(home, passes, repeats, accelerator, active, whole, share, charged),
            stream=stream,
        )
    reads = passes * variant.repeats(operand.role, kind)

    read = [0.0] * len(accelerator.tiers)
    written = [0.0] * len(accelerator.tiers)
    interconnect = port = 0.0
    multicast = accelerator.interconnect.multicast
    # What all cores but the owner of each share receive, and how often it must be sent for that.
    exchanged = whole * (cores - 1) / cores
    copies = 1 if multicast or split_here else active
    matched = split_here and (
        operand.role is Role.SCRATCH or (split is _partition_dimension(kind) and active == cores)
    )
    if operand.role is not Role.OUTPUT:
        if home.mode == "shared":
            read[home.tier] += charged * reads
            port += share * reads
        elif home.mode == "replicated":
            read[home.tier] += share * reads
        elif matched:
            halo = max(0.0, share - whole / cores) if operand.halo_bytes else 0.0
            read[home.tier] += share * reads
            interconnect += halo * (active - 1) * reads
            port += halo * reads
        else:
            read[home.tier] += whole / cores * copies * reads
            interconnect += exchanged * copies * reads
            port += share * (cores - 1) / cores * reads
    if operand.is_write or operand.role is Role.SCRATCH:
        if home.mode == "shared":
            written[home.tier] += whole
            port += share
        elif home.mode == "replicated" and operand.role is Role.SCRATCH:
            written[home.tier] += share
        elif home.mode == "replicated":
            written[home.tier] += whole
            if cores > 1:
                interconnect += whole * (1 if multicast else cores - 1)
                port += whole * (cores - 1) / cores
        else:
            written[home.tier] += whole / cores
            if not matched:
                interconnect += exchanged
                port += share * (cores - 1) / cores
    reading = cores if home.mode == "partitioned" else active
    return OperandUse(
        tuple(read), tuple(written), interconnect, port, -1, 0.0, 0.0, 0.0, reading, stream=stream
    )  # fmt: skip


def stream_name(role: Role, kind: TensorKind) -> Stream:
    """Which kind of stream an operand is, a key of `Tier.stream_bytes_per_s`."""
    if role is Role.OUTPUT:
        return "output"
    if role is Role.RIGHT:
        return "weights"
    return "parameters" if kind is TensorKind.WEIGHT else "input"


def _burst_ratio(
    operand: Operand, kind: TensorKind, home: Home, variant: Variant, accelerator: Accelerator
) -> float:
    """Bytes of whole bursts over the bytes that are wanted of them."""
    access, burst = variant.access, accelerator.tiers[home.tier].burst_bytes
    if access is None or burst <= 0 or kind in STREAMED_KINDS:
        return 1.0
    runs = access.output_run_bytes if operand.is_write else access.input_run_bytes
    run = runs[accelerator.linear_io and kind is TensorKind.IO]
    return burst / min(burst, max(1, run))


def _partition_dimension(kind: TensorKind) -> Split:
    """Along which a partitioned tensor is cut."""
    return Split.COLUMNS if kind in STREAMED_KINDS else Split.ROWS


def _charged_bytes(operand: Operand, variant: Variant, accelerator: Accelerator) -> float:
    """What a shared tier sends for one reading by all cores: every byte once with multicast."""
    cores = variant.cores
    if cores == 1 or accelerator.interconnect.multicast:
        return operand.traffic_bytes
    if variant.split not in operand.split_by:
        return operand.traffic_bytes * cores
    halo = operand.halo_bytes if variant.split is Split.ROWS else 0
    overlapping = operand.traffic_bytes + halo * (cores - 1)
    return min(overlapping, core_share(operand, variant.split, cores) * cores)


def _streamed_use(
    home: Home,
    passes: int,
    repeats: float,
    accelerator: Accelerator,
    active: int,
    whole: float,
    share: float,
    charged: float,
) -> OperandUse:
    """A weight or state of an outer tier: a stream of the DMA, read from the ring by the op.

    Into a per-core ring every core gets its share through its port; a shared ring gets all of it
    once, and the cores read it there as they read any shared tier.
    """
    tier, inner = accelerator.tiers[home.tier], len(accelerator.tiers) - 1
    per_core_ring = accelerator.tiers[inner].scope == "per-core"
    read = [0.0] * len(accelerator.tiers)
    fits = (share if per_core_ring else whole) <= accelerator.streaming.staging_bytes
    fetches = 1 if fits and not accelerator.streaming.refetch else passes
    # What blocks read again is held in the ring, a slice at a time.
    if per_core_ring:
        read[inner] = share * passes * repeats
        port, ring, sent, arriving = 0.0, share * fetches, charged * fetches, share * fetches
    else:
        read[inner] = charged * passes * repeats
        port, ring, sent, arriving = share * passes, whole * fetches, whole * fetches, 0.0
    if tier.scope == "per-core":
        # Every core's DMA reads the copy beside it, or its part of one.
        sent, arriving = ring if per_core_ring else sent / accelerator.core_count, 0.0
    turns = accelerator.groups if tier.scope == "shared" else 1
    # What passes by once is read by the unit itself rather than copied first.
    reader: Stream = "copy" if repeats > 1 else "weights"
    bound = tier.stream_bytes_per_s.get(reader, tier.read_bytes_per_s)
    stream_s = max(
        turns * sent / min(bound.value, tier.read_bytes_per_s.value),
        arriving / accelerator.interconnect.port_bytes_per_s.value,
    )
    nothing = tuple(0.0 for _ in accelerator.tiers)
    return OperandUse(
        tuple(read), nothing, 0.0, port, home.tier, sent, stream_s, ring, active, fetches
    )


def resource_names(accelerator: Accelerator) -> list[str]:
    """What the resources are called, in their order."""
    writes = [f"{tier.name} write" for tier in accelerator.tiers if tier.ports == "separate"]
    streams = [f"{tier.name} {stream}" for tier, stream in _bounded_streams(accelerator)]
    return [*(tier.name for tier in accelerator.tiers), "interconnect", "port", *writes, *streams]


def _bounded_streams(accelerator: Accelerator) -> list[tuple[Tier, Stream]]:
    """Streams with a bound of their own, tier by tier."""
    return [
        (tier, stream)
        for tier in accelerator.tiers
        for stream in STREAMS
        if stream in tier.stream_bytes_per_s
    ]


def resource_seconds(use: OperandUse, accelerator: Accelerator) -> tuple[float, ...]:
    """Busy seconds of every resource, in the order of `resource_names`."""
    tiers: list[float] = []
    write_ports: list[float] = []
    for tier, read, written in zip(
        accelerator.tiers, use.read_bytes, use.written_bytes, strict=True
    ):
        turns = accelerator.groups if tier.scope == "shared" else 1
        read_s = turns * read / tier.read_bytes_per_s.value
        write_s = turns * written / tier.write_bytes_per_s.value
        if tier.ports == "separate":
            tiers.append(read_s)
            write_ports.append(write_s)
        else:
            tiers.append(read_s + write_s)
    interconnect = accelerator.interconnect
    return (
        *tiers,
        accelerator.groups * use.interconnect_bytes / interconnect.bytes_per_s.value,
        use.port_bytes / interconnect.port_bytes_per_s.value,
        *write_ports,
        *_stream_seconds(use, accelerator),
    )


def _stream_seconds(use: OperandUse, accelerator: Accelerator) -> list[float]:
    """Busy seconds of the streams that have a bound of their own."""
    bytes_of = {
        tier.name: read + written
        for tier, read, written in zip(
            accelerator.tiers, use.read_bytes, use.written_bytes, strict=True
        )
    }
    return [
        bytes_of[tier.name] / tier.stream_bytes_per_s[stream].value if use.stream == stream else 0.0
        for tier, stream in _bounded_streams(accelerator)
    ]
