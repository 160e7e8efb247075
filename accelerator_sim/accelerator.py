"""The accelerator: what a TOML file says of clock, cores, arrays and memories.

Every number is a `Quantity`: a value and either its source or the reason for assuming it.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from accelerator_sim.mac_array import MacArray
from accelerator_sim.quantity import Quantity
from accelerator_sim.tiling import HalfBuffer, Tiling


class VectorUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vector unit of one core.

    Attributes:
        lanes: elementary operations a cycle, for each execution type.
        family_rate: speed relative to `lanes` of an op family (a value of `OpFamily`); 1 where a
            family is not named.
    """

    lanes: dict[str, Quantity]
    family_rate: dict[str, Quantity] = {}


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One memory. Capacity and bandwidths are per core where `scope` is `per-core`.

    Attributes:
        name: unique in the accelerator.
        scope: `shared` by all cores or `per-core`.
        capacity_bytes: what a plan may use.
        read_bytes_per_s: sustained.
        write_bytes_per_s: sustained.
        ports: `shared`: reads and writes take turns; `separate`: they overlap.
        latency_s: of a read that nothing hides.
        energy_j_per_byte: read or written.
        alignment_bytes: of every address.
        weight_modes: how a per-core tier may keep weights and states.
        activation_modes: how a per-core tier may keep activations and scratch.
        read_only: holds weights alone (a flash); inputs and outputs are pinned to the outermost
            tier that is not.
        burst_bytes: of a transfer; what is read or written in shorter runs takes whole bursts. 0
            where it is not modelled.
        stream_bytes_per_s: what one kind of stream draws at most, where requests in flight bound
            it: `input` (activations), `weights`, `parameters` (other constants), `output`, and
            `copy` (of the DMA).
    """

    name: str
    scope: Literal["shared", "per-core"]
    capacity_bytes: Quantity
    read_bytes_per_s: Quantity
    write_bytes_per_s: Quantity
    latency_s: Quantity
    energy_j_per_byte: Quantity
    ports: Literal["shared", "separate"] = "shared"
    alignment_bytes: int = 64
    weight_modes: list[Literal["replicated", "partitioned"]] = []
    activation_modes: list[Literal["replicated", "partitioned"]] = []
    read_only: bool = False
    burst_bytes: int = 0
    stream_bytes_per_s: dict[
        Literal["input", "weights", "parameters", "output", "copy"], Quantity
    ] = {}


class Interconnect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What connects the cores: broadcasts and exchanges of partitioned operands go over it.

    Attributes:
        bytes_per_s: of unique bytes, all cores together.
        port_bytes_per_s: what one core can draw from the shared tiers.
        multicast: a shared tier is charged the unique bytes once for an operand that every core
            needs; without it, once per core.
    """

    bytes_per_s: Quantity
    port_bytes_per_s: Quantity
    multicast: bool


class Streaming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How weights and states of outer tiers arrive.

    Attributes:
        prefetch_ops: how many ops ahead of its use a tensor may begin to arrive.
        slice_bytes: size of one DMA transfer.
        staging_bytes: ring in the innermost tier (per core), reserved as soon as one weight
            streams; two slices of it serve the running op, the rest holds what was prefetched.
        path: through the staging `ring`; or `direct`, where an op reads its weights from wherever
            they live, as it reads activations.
        refetch: what an op reads more than once is fetched again for each pass; without it, what
            fits the ring is fetched once and read again there.
    """

    prefetch_ops: int
    slice_bytes: int
    staging_bytes: int
    path: Literal["ring", "direct"] = "ring"
    refetch: bool = True
    source: str = ""
    assumed: bool = False
    reason: str = ""


class Dequantize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which unit widens weights whose scales differ along the summed axis (groups of channels).

    Attributes:
        unit: `streamed`: a decoder on the way to the matrix unit does it and costs no time;
            `vector`: the vector unit does, one operation an element.
    """

    unit: Literal["streamed", "vector"] = "streamed"
    source: str = ""
    assumed: bool = False
    reason: str = ""


STREAMED = Dequantize(assumed=True, reason="a weight decoder keeps up with the matrix unit")


class Energy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Energy that is not spent in the memories.

    Attributes:
        mac_j: per multiply-accumulate, for each type pair of the array.
        vector_op_j: per elementary vector operation.
        leakage_w: drawn all the time.
    """

    mac_j: dict[str, Quantity]
    vector_op_j: Quantity
    leakage_w: Quantity


class PublishedPeak(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A peak that the vendor states; clock x cores x MACs x 2 is checked against it.

    Attributes:
        ops_per_s: multiplies and adds counted apart.
        type_pair: `activation*weight`.
        tolerance: relative.
    """

    ops_per_s: float
    type_pair: str
    tolerance: float
    source: str


class Accelerator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A target. Tiers are ordered from outermost to innermost.

    Attributes:
        schema: of the file, 1.
        name: of the target.
        description: one line.
        approximate: what this file leaves out or guesses, one entry each.
        clock_hz: of arrays and vector units.
        cores: that share an op.
        default_type: execution type where none is asked for.
        mac_array: None for a vector-only device.
        vector_unit: for all that is not a matrix product.
        tile_buffer_bytes: operand tiles of the running op, per core.
        tiling: how they share it.
        launch_overhead_s: per op.
        layout_channels: activations are stored with channels rounded up to this.
        linear_io: inputs and outputs of the model are stored linearly and are not rounded up.
        groups: independent inferences at a time, each on `cores` of its own (throughput mode);
            what they share is charged to all of them.
        streamed_views: view ops (Transpose, Slice, ...) that the DMA executes while reading.
        layout_exchange: an activation that its consumer wants in another layout than its
            producer wrote costs a pass through the vector unit.
        tiers: at least one.
        serial_units: the matrix and the vector work of an op take turns, as on a processor;
            otherwise they overlap.
        dequantize: unit that widens compressed weights.
    """

    schema: int
    name: str
    description: str
    approximate: list[str]
    clock_hz: Quantity
    cores: Quantity
    default_type: str
    vector_unit: VectorUnit
    tile_buffer_bytes: Quantity
    launch_overhead_s: Quantity
    tiers: list[Tier]
    interconnect: Interconnect
    streaming: Streaming
    energy: Energy
    mac_array: MacArray | None = None
    tiling: Tiling = HalfBuffer()
    published_peak: PublishedPeak | None = None
    layout_channels: int = 1
    layout_exchange: bool = False
    linear_io: bool = False
    groups: int = 1
    streamed_views: list[str] = []
    serial_units: bool = False
    dequantize: Dequantize = STREAMED

    @property
    def core_count(self) -> int:
        """Cores as a whole number."""
        return int(self.cores.value)


@dataclass(frozen=True, slots=True)
class Home:
    """Where a tensor may live: a tier and, in a per-core tier, how it is kept there.

    Attributes:
        tier: index into `Accelerator.tiers`.
        mode: `shared`, `replicated` (every core holds all of it) or `partitioned` (every core
            holds its share: weights and states by output channel, activations by row).
    """

    tier: int
    mode: Literal["shared", "replicated", "partitioned"]


def homes_of(accelerator: Accelerator) -> tuple[Home, ...]:
    """All homes, from outermost to innermost, replicated before partitioned."""
    homes: list[Home] = []
    for index, tier in enumerate(accelerator.tiers):
        if tier.scope == "shared":
            homes.append(Home(index, "shared"))
            continue
        modes = {*tier.weight_modes, *tier.activation_modes}
        if "replicated" in modes:
            homes.append(Home(index, "replicated"))
        if "partitioned" in modes:
            homes.append(Home(index, "partitioned"))
    return tuple(homes)
