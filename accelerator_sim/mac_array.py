"""Matrix units that an accelerator file can describe, one type per dataflow.

`accelerator_sim/cost/mac_array/` says how many cycles each takes.
"""

from typing import Literal

import msgspec

from accelerator_sim.quantity import Quantity


class _Array(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="dataflow"
):
    """What all matrix units of one core have.

    Attributes:
        rows: of the grid (output pixels), or of the systolic array.
        columns: of the grid (output channels), or of the systolic array.
        full_rate_type: execution type at which `macs_per_cycle` are done.
        relative_rate: multiply-accumulates a cycle relative to the full rate, for each
            `activation*weight` type pair. A pair that is missing cannot be executed.
        family_rate: speed relative to the computed cycles for `conv`, `depthwise`, `matmul` and
            `attention`; 1 where one is not named. For devices that are measured, not documented.
        source: of the numbers that have none of their own.
    """

    rows: int
    columns: int
    full_rate_type: str
    relative_rate: dict[str, Quantity]
    family_rate: dict[str, Quantity] = {}
    source: str

    @property
    def macs_per_cycle(self) -> int:
        """At the full rate."""
        return self.rows * self.columns


class OperandPort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The port between a dot grid and the memory beside it; reads and writes take turns.

    Attributes:
        bytes_per_cycle: of one access; a smaller one takes a cycle as well.
        weight_tiles: how many tiles of depth x columns weights the grid's registers keep; 0 where
            weights are only latched while rows pass by.
        accumulator_bytes: of one sum; there is one for every output of a tile.
    """

    bytes_per_cycle: Quantity
    weight_tiles: int
    accumulator_bytes: int = 4


class DotGrid(_Array, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="dot-grid"):
    """Rows x columns outputs, each reducing `depth` products a cycle at the full rate.

    Attributes:
        depth: products that one output sums in a cycle.
        operand_port: what the grid reads and writes through; None where that never holds it up.
    """

    depth: int
    operand_port: OperandPort | None = None

    @property
    def macs_per_cycle(self) -> int:
        """At the full rate."""
        return self.rows * self.columns * self.depth


class WeightStationary(
    _Array, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="weight-stationary"
):
    """Systolic array of rows (reduction) x columns (output channels) that holds weights.

    Attributes:
        weight_double_buffer: loading the next weights overlaps with computing.
    """

    weight_double_buffer: bool


class OutputStationary(
    _Array, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="output-stationary"
):
    """Systolic array of rows (output pixels) x columns (output channels) that holds sums."""


class InputStationary(
    _Array, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="input-stationary"
):
    """Systolic array of rows (reduction) x columns (output pixels) that holds inputs."""


class DirectConvolution(
    _Array, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="direct-convolution"
):
    """NVDLA's: rows (input channels) x columns (output channels) of one kernel tap a cycle.

    Attributes:
        input_channel_quantum: input channels are rounded up to this at the full rate, and to less
            of wider types.
        output_channel_quantum: output channels are rounded up to this; where an image has only
            one output position, those of all images of the batch together.
        space_to_depth: whether a strided convolution is computed, and its features and weights
            are stored, with the positions that a stride skips as further channels.
        weight_channel_quantum: input channels of stored weights are rounded up to this.
        winograd_speedup: of 3 x 3 convolutions with stride 1; 1 without Winograd.
        winograd_weight_ratio: stored bytes of their transformed weights over plain ones.
    """

    input_channel_quantum: int
    output_channel_quantum: int
    space_to_depth: Literal["always", "never", "where-faster"]
    weight_channel_quantum: int
    winograd_speedup: Quantity
    winograd_weight_ratio: Quantity


class _EthosU(_Array, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all generations of the Ethos-U have.

    `rows` and `columns` are the pixels and channels of output that an engine reduces at a time.

    Attributes:
        depth: input channels of one dot product.
        engines: that share every block of output.
        output_cycles: of the output unit per element (8-bit).
        bias_cycles: of fetching bias and scale, per channel of a block.
        port_bytes_per_cycle: of the unit's port to the innermost memory.
        write_latency_cycles: of the innermost memory, after the last block.
    """

    depth: int
    engines: int = 1
    output_cycles: Quantity
    bias_cycles: Quantity
    port_bytes_per_cycle: Quantity
    write_latency_cycles: Quantity

    @property
    def macs_per_cycle(self) -> int:
        """At the full rate."""
        return self.rows * self.columns * self.depth * self.engines


class EthosU55(_EthosU, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="ethos-u55"):
    """Ethos-U55 and U65: input and accumulators in one banked memory.

    Attributes:
        block_height: rows of the pixels of an engine.
        shram_banks: of 1 KiB, without those kept for output and tables.
        input_granule_banks: that the input's part is rounded up to.
        accumulator_granule_banks: likewise.
        pooling_cycles: per tap and pixels x channels of an engine.
        restart_cycles: lost between steps where a block has one pixel position only.
    """

    block_height: int
    shram_banks: int
    input_granule_banks: int
    accumulator_granule_banks: int
    pooling_cycles: int
    restart_cycles: int


class EthosU85Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One arrangement of the multipliers of an Ethos-U85.

    Attributes:
        height: of the output that is reduced at a time.
        width: likewise.
        channels: likewise.
        kinds: layers that can use it: `conv`, `depthwise`, `pooling`.
        input_units: pixels (height, width) of a unit of stored input with one brick of channels,
            two and four.
    """

    height: int
    width: int
    channels: int
    kinds: list[str]
    input_units: list[list[int]]


class EthosU85(_EthosU, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="ethos-u85"):
    """Ethos-U85: separate memories for input and accumulators.

    Attributes:
        grids: arrangements; the first is taken among equals, and has `rows` x `columns`.
        weight_decoders: each gives 8 weights a cycle.
        input_buffer_bytes: for input.
        accumulator_buffer_bytes: for sums.
    """

    grids: list[EthosU85Grid]
    weight_decoders: int
    input_buffer_bytes: int
    accumulator_buffer_bytes: int


MacArray = (
    DotGrid
    | WeightStationary
    | OutputStationary
    | InputStationary
    | DirectConvolution
    | EthosU55
    | EthosU85
)
