"""Blocks of the Ethos-U55 and U65: one memory (SHRAM) holds input and accumulators.

The block that moves the fewest input and weight bytes per output is taken.
"""

from dataclasses import dataclass

from accelerator_sim.cost.mac_array.ethos_u_layer import (
    BRICK_CHANNELS,
    Block,
    Layer,
    Shape,
    round_up,
)
from accelerator_sim.cost.mac_array.rates import ceil_div

BANK_BYTES = 1024
ACCUMULATOR_BYTES = 4
LARGEST = Shape(32, 64, 128)
"""Of an output block."""


@dataclass(frozen=True, slots=True)
class Shram:
    """The memory of one engine, in banks.

    Attributes:
        micro: output that is reduced at a time.
        banks: for input and accumulators together.
        input_granule: banks that the input is rounded up to.
        accumulator_granule: likewise.
    """

    micro: Shape
    banks: int
    input_granule: int
    accumulator_granule: int


def block_of(layer: Layer, shram: Shram) -> Block:
    """The cheapest block that fits, smaller ones first among equals."""
    part_kernel = layer.kind == "conv" and _part_kernel(layer)
    input_depth = _input_depth(layer, part_kernel)
    micro, limit = shram.micro, layer.result.within(LARGEST)
    flat = layer.result.height == 1 and layer.kernel[0] == 1 and micro.height == 2
    best, best_cover = float("inf"), float("inf")
    chosen: Block | None = None
    for depth in _depths(layer.result.depth, limit.depth, micro.depth):
        for height in range(micro.height, round_up(limit.height, micro.height) + 1, micro.height):
            for width in range(micro.width, round_up(limit.width, micro.width) + 1, micro.width):
                rows, columns = layer.needed(Shape(height, width, depth))
                source = Shape(
                    round_up(rows, micro.height),
                    round_up(columns, micro.width),
                    input_depth or depth,
                )
                kept = Shape(1 if flat else height, width, depth)
                if not _fits(kept, source, layer.bits, shram):
                    break
                result = Shape(height, width, depth)
                cost = _cost(layer, kept, source)
                cover = layer.source.area / source.within(layer.source).area
                small = height <= 4 and width <= 4 and cover <= best_cover
                if cost < best or (cost == best and small):
                    best_cover = cover if cost == best else float("inf")
                    best = cost
                    chosen = Block(result, source, _micro(layer, micro), part_kernel)
    if chosen is None:  # not even one micro-block fits: its input passes in pieces
        rows, columns = layer.needed(micro)
        source = Shape(rows, columns, input_depth or micro.depth)
        return Block(micro, source, micro, part_kernel)
    return chosen


def _micro(layer: Layer, micro: Shape) -> Shape:
    """Flat images of even width use all pixels of the micro-block side by side."""
    flat = layer.kind == "conv" and layer.result.height == 1 and layer.kernel[0] == 1
    if flat and micro.height == 2 and layer.result.width % 2 == 0:
        return Shape(1, micro.area, micro.depth)
    return micro


def _part_kernel(layer: Layer) -> bool:
    """Whether taps fill the reduction better than channels do."""
    channels = layer.source.depth
    if channels <= 8:
        return True
    whole, taps = (32, 4) if layer.bits == 8 else (16, 2)
    by_depth = channels / round_up(channels, whole)
    by_taps = channels / round_up(channels, 8) * (layer.taps / round_up(layer.taps, taps))
    return by_taps >= by_depth


def _input_depth(layer: Layer, part_kernel: bool) -> int:
    """Channels of an input block; 0 where they are those of the output block."""
    if layer.kind != "conv":
        return 0
    if layer.bits == 16:
        return round_up(min(layer.source.depth, 16), 4)
    return round_up(min(layer.source.depth, 16 if part_kernel else 32), 8)


def _depths(channels: int, limit: int, step: int) -> list[int]:
    """Depths of an output block: bricks, or all channels where there are fewer."""
    found: list[int] = []
    largest = round_up(limit, step)
    depth = max(step, min(largest, BRICK_CHANNELS))
    while True:
        if depth < channels:
            depth = round_up(depth, BRICK_CHANNELS)
        if depth > largest:
            return found or [largest]
        found.append(depth)
        depth += step


def _fits(result: Shape, source: Shape, bits: int, shram: Shram) -> bool:
    """Both halves of both double buffers, in whole granules of banks."""
    stored = source.area * round_up(source.depth * bits // 8, 8)
    sums = result.area * round_up(result.depth, 8) * ACCUMULATOR_BYTES
    input_banks = round_up(2 * ceil_div(stored, BANK_BYTES), shram.input_granule)
    sum_banks = round_up(2 * ceil_div(sums, BANK_BYTES), shram.accumulator_granule)
    return input_banks + sum_banks <= shram.banks


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
    cost = (fetched + weights) / layer.result.volume
    return cost / 2 if layer.source.volume < 2 * source.volume else cost
