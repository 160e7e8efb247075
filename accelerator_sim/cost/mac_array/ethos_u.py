"""Ethos-U: cycles of products and pooling, and what the cutting into blocks makes the memories do.

The rules are those that Vela 5.2.0 documents in its performance model, written anew here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from accelerator_sim.cost.mac_array import ethos_u55_blocks, ethos_u85_blocks
from accelerator_sim.cost.mac_array.ethos_u55_blocks import Shram
from accelerator_sim.cost.mac_array.ethos_u85_blocks import Buffers, MicroBlock
from accelerator_sim.cost.mac_array.ethos_u_cycles import Timing, layer_cycles
from accelerator_sim.cost.mac_array.ethos_u_layer import (
    BRICK_CHANNELS,
    Block,
    Layer,
    Shape,
    layer_of,
    pooling_layer,
)
from accelerator_sim.mac_array import EthosU55, EthosU85
from graph_ir.workload import MacWork, Op

LINEAR_WRITE_BYTES = 16
"""What an engine writes at a time of a feature map that is not kept in bricks."""


@dataclass(frozen=True, slots=True)
class Access:
    """How an op's blocks read and write their operands.

    Attributes:
        input_passes: how often the input passes by, overlaps of windows included.
        weight_passes: how often the weights do.
        input_run_bytes: contiguous in bricks and in linear layout.
        output_run_bytes: likewise.
    """

    input_passes: float
    weight_passes: float
    input_run_bytes: tuple[int, int]
    output_run_bytes: tuple[int, int]


def ethos_u_cycles(array: EthosU55 | EthosU85, work: MacWork) -> float:
    """Cycles of all products of the work."""
    layer, repeats = layer_of(work)
    return repeats * layer_cycles(layer, _block(layer, array), _timing(array))


def ethos_u_pooling_cycles(array: EthosU55 | EthosU85, op: Op) -> float:
    """Cycles of a pooling, which the matrix unit executes; 0 of any other op."""
    layer = pooling_layer(op)
    if layer is None:
        return 0.0
    return layer_cycles(layer, _block(layer, array), _timing(array))


def ethos_u_access(array: EthosU55 | EthosU85, op: Op) -> Access | None:
    """What the blocks of an op's first layer ask of the memories; None for a vector op."""
    layer = next(_layers(op), None)
    if layer is None:
        return None
    block = _block(layer, array)
    result = block.result.within(layer.result)
    source = block.source.within(layer.source)
    blocks = layer.result.blocks(result)
    channel_passes = blocks.depth if layer.kind == "conv" else 1
    fetched = source.area * len(layer.subkernels) * blocks.area
    wide = layer.bits // 8
    read_linear = block.source.depth * wide
    if block.source.depth == layer.source.depth:
        read_linear *= block.source.width
    write_linear = min(64, LINEAR_WRITE_BYTES * array.engines, block.result.depth * wide)
    if block.result.depth == layer.result.depth <= BRICK_CHANNELS:
        write_linear = block.result.depth * wide * block.result.width
    return Access(
        fetched / layer.source.area * channel_passes,
        float(blocks.area),
        (BRICK_CHANNELS * wide * block.source.width, read_linear),
        (BRICK_CHANNELS * wide * block.result.width * array.engines, write_linear),
    )


def _layers(op: Op) -> Iterator[Layer]:
    for work in op.mac_work:
        yield layer_of(work)[0]
    pooling = pooling_layer(op)
    if pooling is not None:
        yield pooling


def _timing(array: EthosU55 | EthosU85) -> Timing:
    if isinstance(array, EthosU55):
        decoders, pooling, restart = 1, array.pooling_cycles, array.restart_cycles
    else:
        decoders, pooling, restart = array.weight_decoders, 4, 2
    return Timing(
        array.engines,
        32 if isinstance(array, EthosU55) else 64,
        isinstance(array, EthosU55),
        decoders,
        pooling,
        restart,
        array.output_cycles.value,
        array.bias_cycles.value,
        array.port_bytes_per_cycle.value,
        array.write_latency_cycles.value,
    )


def _block(layer: Layer, array: EthosU55 | EthosU85) -> Block:
    if isinstance(array, EthosU55):
        height = array.block_height
        micro = Shape(height, array.rows // height, array.columns)
        return _u55_block(
            layer,
            Shram(
                micro,
                array.shram_banks,
                array.input_granule_banks,
                array.accumulator_granule_banks,
            ),
        )
    grids = tuple(
        MicroBlock(
            Shape(grid.height, grid.width, grid.channels),
            tuple(grid.kinds),
            tuple((unit[0], unit[1]) for unit in grid.input_units),
        )
        for grid in array.grids
    )
    return _u85_block(
        layer, Buffers(grids, array.input_buffer_bytes, array.accumulator_buffer_bytes)
    )


@lru_cache(maxsize=4096)
def _u55_block(layer: Layer, shram: Shram) -> Block:
    return ethos_u55_blocks.block_of(layer, shram)


@lru_cache(maxsize=4096)
def _u85_block(layer: Layer, buffers: Buffers) -> Block:
    return ethos_u85_blocks.block_of(layer, buffers)
