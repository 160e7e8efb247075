"""Blocks of the Ethos-U85: separate memories for input and accumulators, several micro-blocks.

The micro-block that wastes least is taken, then the block that moves the fewest input and weight
bytes per output.
"""

from dataclasses import dataclass

from accelerator_sim.cost.mac_array.ethos_u_layer import (
    BRICK_CHANNELS,
    Block,
    Layer,
    Shape,
    round_up,
)

ACCUMULATOR_BYTES = 4
LARGEST = Shape(128, 128, 1024)
"""Of an output block."""


@dataclass(frozen=True, slots=True)
class MicroBlock:
    """One arrangement of the multipliers.

    Attributes:
        shape: output that is reduced at a time.
        kinds: of layers that can use it.
        input_units: pixels of input (height, width) that are stored as a unit where they have one
            brick of channels, two, or more (then four).
    """

    shape: Shape
    kinds: tuple[str, ...]
    input_units: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Buffers:
    """The memories of the unit.

    Attributes:
        micro_blocks: first the one that is taken among equals.
        input_bytes: for input.
        accumulator_bytes: for sums.
    """

    micro_blocks: tuple[MicroBlock, ...]
    input_bytes: int
    accumulator_bytes: int


def block_of(layer: Layer, buffers: Buffers) -> Block:
    """The cheapest block that fits, smaller ones first among equals."""
    micro = _micro_block(layer, buffers.micro_blocks)
    part_kernel = layer.kind == "conv" and _part_kernel(layer)
    input_depth = 0 if layer.kind != "conv" else 16 if part_kernel else 64
    chosen: Block | None = None
    for buffered in (2, 1):
        chosen = _search(layer, buffers, micro, part_kernel, input_depth, buffered)
        if chosen is not None:
            return chosen
    shape = Shape(micro.shape.height, micro.shape.width, BRICK_CHANNELS)
    source = _source(layer, shape, input_depth or BRICK_CHANNELS, micro)
    return Block(shape, source, micro.shape, part_kernel)


def _search(
    layer: Layer,
    buffers: Buffers,
    micro: MicroBlock,
    part_kernel: bool,
    input_depth: int,
    buffered: int,
) -> Block | None:
    step = Shape(micro.shape.height, micro.shape.width, BRICK_CHANNELS)
    limit = layer.result.within(LARGEST)
    single = layer.result.area == 1 and layer.reach == (layer.source.height, layer.source.width)
    best, best_cover = float("inf"), float("inf")
    chosen: Block | None = None
    for depth in range(step.depth, round_up(limit.depth, step.depth) + 1, step.depth):
        for height in range(step.height, round_up(limit.height, step.height) + 1, step.height):
            for width in range(step.width, round_up(limit.width, step.width) + 1, step.width):
                result = Shape(height, width, depth)
                source = _source(layer, result, input_depth or depth, micro)
                if not _fits(layer, result, source, buffers, buffered):
                    break
                cost = 1.0 / result.volume if single else _cost(layer, result, source)
                if layer.source.volume < 2 * source.volume:
                    cost /= 2
                cover = layer.source.area / source.within(layer.source).area
                small = height <= 4 and width <= 4 and cover <= best_cover
                if cost < best or (cost == best and small):
                    best_cover = cover if cost == best else float("inf")
                    best = cost
                    chosen = Block(result, source, micro.shape, part_kernel)
    return chosen


def _micro_block(layer: Layer, known: tuple[MicroBlock, ...]) -> MicroBlock:
    usable = [micro for micro in known if layer.kind in micro.kinds] or list(known)

    def waste(micro: MicroBlock) -> int:
        covered = layer.result.blocks(micro.shape).volume * micro.shape.volume
        return covered - layer.result.volume

    return min(usable, key=waste)


def _part_kernel(layer: Layer) -> bool:
    """Whether taps fill the reduction better than channels do."""
    channels, taps = layer.source.depth, layer.taps
    taken = taps // 5 * 5 + max(taps % 5, 2)
    return channels / round_up(channels, 16) * (taps / taken) >= channels / round_up(channels, 64)


def _source(layer: Layer, result: Shape, input_depth: int, micro: MicroBlock) -> Shape:
    """Input of an output block in whole units."""
    channels = _unit_channels(input_depth, layer.bits)
    height, width = micro.input_units[channels * layer.bits // 256]
    rows, columns = layer.needed(result)
    return Shape(round_up(rows, height), round_up(columns, width), round_up(input_depth, channels))


def _unit_channels(depth: int, bits: int) -> int:
    """Channels of a unit of stored input: one, two or four bricks of 16 bytes."""
    stored_bits = depth * bits
    bricks = 4 if stored_bits > 256 else 2 if stored_bits > 128 else 1
    return bricks * 128 // bits


def _fits(layer: Layer, result: Shape, source: Shape, buffers: Buffers, buffered: int) -> bool:
    stored = source
    if layer.kind == "conv":  # fewer channels than a block has take less room
        unit = _unit_channels(source.depth, layer.bits)
        depth = round_up(min(source.depth, layer.source.depth), unit)
        stored = Shape(source.height, source.width, depth)
    input_bytes = stored.volume * layer.bits // 8 * buffered
    sums = result.area * round_up(result.depth, 16) * ACCUMULATOR_BYTES * buffered
    return input_bytes <= buffers.input_bytes and sums <= buffers.accumulator_bytes


def _cost(layer: Layer, result: Shape, source: Shape) -> float:
    """Elements of input and weights that are fetched for one output."""
    whole = layer.result.blocks(result)
    pixels = (layer.result.height / result.height) * (layer.result.width / result.width)
    fetched = source.area * layer.source.depth * layer.input_passes * pixels
    weights = 0.0
    if layer.kind == "conv":
        fetched *= whole.depth
        weights = layer.taps * layer.source.depth * whole.area * float(layer.result.depth)
    elif layer.kind == "depthwise":
        weights = layer.taps * layer.source.depth * float(whole.area)
    return (fetched + weights) / layer.result.volume
