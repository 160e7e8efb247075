"""Bytes and seconds that one operand asks of the memories, for the home that it has.

Resources are the tiers (by index), then the interconnect, then the port of one core. Rules
(DESIGN.md, "Cores" and "The timeline"):

- a shared tier is charged the unique bytes once where the target multicasts, and no core draws
  more than its port gives;
- a replicated tensor is read at the core's own bandwidth; writing one sends every core's share to
  all others over the interconnect;
- a partitioned tensor is local to an op that splits it the same way (weights and states by
  columns, activations by rows); any other op pays the exchange;
- a weight or state of an outer tier is streamed: its time on that tier is a stream of the DMA,
  and the op itself reads it from the staging ring in the innermost tier. DMA writes into the ring
  use the innermost tier's other port and are not charged to the op.
"""

from dataclasses import dataclass

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.cost.variants import core_share
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
        stream_bytes: bytes that tier is charged, re-reads included.
        stream_s: time of that stream alone.
        ring_bytes: room in the staging ring (per core) for all of it.
    """

    read_bytes: tuple[float, ...]
    written_bytes: tuple[float, ...]
    interconnect_bytes: float
    port_bytes: float
    stream_tier: int
    stream_bytes: float
    stream_s: float
    ring_bytes: float


def operand_use(
    operand: Operand,
    kind: TensorKind,
    home: Home,
    split: Split,
    passes: int,
    accelerator: Accelerator,
    stored_ratio: float = 1.0,
) -> OperandUse:
    """Traffic of one operand.

    Args:
        operand: as the op uses it.
        kind: of its tensor.
        home: where the tensor lives.
        split: how the cores share the op.
        passes: how often the operand is read.
        accelerator: the target.
        stored_ratio: stored bytes over packed bytes (layout rounding).
    """
    cores = accelerator.core_count
    multicast = accelerator.interconnect.multicast
    split_here = split in operand.split_by and cores > 1
    whole = operand.traffic_bytes * stored_ratio
    share = core_share(operand, split, cores) * stored_ratio
    active = 1 if split is Split.NONE else cores
    if split_here:
        halo = operand.halo_bytes if split is Split.ROWS else 0
        unique = whole + halo * stored_ratio * (cores - 1)
    else:
        unique = whole if multicast else whole * active
    read = [0.0] * len(accelerator.tiers)
    written = [0.0] * len(accelerator.tiers)
    exchanged = whole * (cores - 1) / cores
    partition_dimension = Split.COLUMNS if kind in STREAMED_KINDS else Split.ROWS
    matched = split_here and split is partition_dimension
    inner = len(accelerator.tiers) - 1
    interconnect = port = 0.0

    if operand.role is not Role.OUTPUT:
        if kind in STREAMED_KINDS and home.tier != inner:
            per_core_inner = accelerator.tiers[inner].scope == "per-core"
            read[inner] += (share if per_core_inner else unique) * passes
            tier = accelerator.tiers[home.tier]
            stream_s = max(
                unique * passes / tier.read_bytes_per_s.value,
                share * passes / accelerator.interconnect.port_bytes_per_s.value,
            )
            return OperandUse(
                tuple(read), tuple(written), 0.0, 0.0, home.tier, unique * passes, stream_s,
                share * passes,
            )  # fmt: skip
        if home.mode == "shared":
            read[home.tier] += unique * passes
            port += share * passes
        elif home.mode == "replicated" or matched:
            read[home.tier] += share * passes
        else:
            read[home.tier] += whole / cores * passes
            interconnect += exchanged * passes
            port += share * (cores - 1) / cores * passes
    if operand.is_write or operand.role is Role.SCRATCH:
        if home.mode == "shared":
            written[home.tier] += whole
            port += share
        elif operand.role is Role.SCRATCH:
            written[home.tier] += share
        elif home.mode == "replicated":
            written[home.tier] += whole
            interconnect += 0.0 if cores == 1 else whole * (1 if multicast else cores - 1)
        else:
            written[home.tier] += whole / cores
            if not matched:
                interconnect += exchanged
                port += share * (cores - 1) / cores
    return OperandUse(
        tuple(read), tuple(written), interconnect, port, -1, 0.0, 0.0, 0.0
    )  # fmt: skip


def resource_seconds(use: OperandUse, accelerator: Accelerator) -> tuple[float, ...]:
    """Busy seconds of every resource: the tiers, the interconnect, the port of one core."""
    tiers = [
        read / tier.read_bytes_per_s.value + written / tier.write_bytes_per_s.value
        for tier, read, written in zip(
            accelerator.tiers, use.read_bytes, use.written_bytes, strict=True
        )
    ]
    return (
        *tiers,
        use.interconnect_bytes / accelerator.interconnect.bytes_per_s.value,
        use.port_bytes / accelerator.interconnect.port_bytes_per_s.value,
    )
