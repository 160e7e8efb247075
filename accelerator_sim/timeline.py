"""What the traced simulation of one plan says, event by event."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpTrace:
    """One op on the timeline.

    Attributes:
        name: of the op.
        family: of the op.
        start_s: when it begins.
        end_s: when it ends, launch overhead, fill and stalls included.
        split: how the cores share it.
        loop_order: the tiling that the engine took.
        mac_s: time of the matrix unit.
        vector_s: time of the vector unit.
        resource_s: busy seconds by resource name (every tier, `interconnect`, `port`), the op's
            own streams and its late weight slices included.
        fill_s: launch overhead, pipeline fill and unhidden latency.
        stall_s: time that it waits for weights which prefetching did not hide.
        stall_tensor: the tensor that caused most of it, or "".
        bound: what it lasts as long as: `mac`, `vector`, a tier's name, `interconnect`, `port`.
        macs: multiply-accumulates.
        utilization: macs over what the array could have done in its time.
        traffic_bytes: by tier name, read and written.
    """

    name: str
    family: str
    start_s: float
    end_s: float
    split: str
    loop_order: str
    mac_s: float
    vector_s: float
    resource_s: dict[str, float]
    fill_s: float
    stall_s: float
    stall_tensor: str
    bound: str
    macs: int
    utilization: float
    traffic_bytes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Part of a streamed weight as the DMA brings it in.

    Attributes:
        tensor: name.
        tier: where it comes from.
        for_op: index of the op that uses it.
        during_op: index of the op during which it is moved (equal to `for_op` where it is late).
        start_s: on the timeline.
        end_s: on the timeline.
        first_byte: position in the op's stream of this tensor, re-reads counted.
        size_bytes: unique bytes.
        operand: position among the operands of the op that uses it.
    """

    tensor: str
    tier: str
    for_op: int
    during_op: int
    start_s: float
    end_s: float
    first_byte: int
    size_bytes: int
    operand: int = 0


@dataclass(frozen=True, slots=True)
class TierUse:
    """What one memory did during an inference.

    Attributes:
        name: of the tier.
        capacity_bytes: per core where it is a per-core tier.
        peak_bytes: most that lived in it at once (live bytes, per core likewise).
        read_bytes: in one inference (per core in a per-core tier).
        written_bytes: likewise.
        busy_fraction: of the latency.
    """

    name: str
    capacity_bytes: int
    peak_bytes: int
    read_bytes: int
    written_bytes: int
    busy_fraction: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The traced simulation of one placement.

    Attributes:
        latency_s: of one inference in the steady state.
        cold_latency_s: of the first one, loading the resident weights included.
        energy_j: of one inference.
        ops: in execution order.
        transfers: in order of time.
        tiers: from outermost to innermost.
    """

    latency_s: float
    cold_latency_s: float
    energy_j: float
    ops: tuple[OpTrace, ...]
    transfers: tuple[Transfer, ...]
    tiers: tuple[TierUse, ...]
