"""Bytes and seconds that one operand asks of the memories, for the home that it has.

Resources are the tiers (by index), then the interconnect, then the port of one core, then the
write ports of tiers that have their own. Rules
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
- independent inferences on groups of cores take turns on what they share: all seconds of shared
  tiers and of the interconnect count once per group.
"""

from dataclasses import dataclass

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.cost.variants import Variant, core_share
from graph_ir.workload import Operand, Role, Split, TensorKind

STREAMED_KINDS = (TensorKind.WEIGHT, TensorKind.STATE)


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
    whole = operand.traffic_bytes * stored_ratio
    share = core_share(operand, split, active) * stored_ratio
    charged = _charged_bytes(operand, variant, accelerator) * stored_ratio
    inner = len(accelerator.tiers) - 1
    if kind in STREAMED_KINDS and home.tier != inner and operand.role is not Role.OUTPUT:
        return _streamed_use(home, passes, accelerator, active, whole, share, charged)

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
            read[home.tier] += charged * passes
            port += share * passes
        elif home.mode == "replicated":
            read[home.tier] += share * passes
        elif matched:
            halo = max(0.0, share - whole / cores) if operand.halo_bytes else 0.0
            read[home.tier] += share * passes
            interconnect += halo * (active - 1) * passes
            port += halo * passes
        else:
            read[home.tier] += whole / cores * copies * passes
            interconnect += exchanged * copies * passes
            port += share * (cores - 1) / cores * passes
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
        tuple(read), tuple(written), interconnect, port, -1, 0.0, 0.0, 0.0, reading
    )  # fmt: skip


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
    if per_core_ring:
        read[inner] = share * passes
        port, ring, sent, arriving = 0.0, share * passes, charged * passes, share * passes
    else:
        read[inner] = charged * passes
        port, ring, sent, arriving = share * passes, whole * passes, whole * passes, 0.0
    if tier.scope == "per-core":
        # Every core's DMA reads the copy beside it, or its part of one.
        sent, arriving = ring if per_core_ring else sent / accelerator.core_count, 0.0
    turns = accelerator.groups if tier.scope == "shared" else 1
    stream_s = max(
        turns * sent / tier.read_bytes_per_s.value,
        arriving / accelerator.interconnect.port_bytes_per_s.value,
    )
    nothing = tuple(0.0 for _ in accelerator.tiers)
    return OperandUse(tuple(read), nothing, 0.0, port, home.tier, sent, stream_s, ring, active)


def resource_names(accelerator: Accelerator) -> list[str]:
    """What the resources are called, in their order."""
    writes = [f"{tier.name} write" for tier in accelerator.tiers if tier.ports == "separate"]
    return [*(tier.name for tier in accelerator.tiers), "interconnect", "port", *writes]


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
    )
