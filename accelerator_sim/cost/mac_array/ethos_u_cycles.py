"""Cycles of one operation of an Ethos-U, given its block.

What bounds a block is the reduction, the output unit or the issue of commands; the slowest of the
three is what every block takes, and the others show once, at the beginning and at the end. So does
the transfer of the first input and of the last output block, which nothing overlaps.
"""

from dataclasses import dataclass
from math import ceil

from accelerator_sim.cost.mac_array.ethos_u_layer import Block, Layer, Shape
from accelerator_sim.cost.mac_array.rates import ceil_div

TAPS_AT_A_TIME = 4
"""Kernel taps that the depthwise and the part-kernel order reduce together (8-bit)."""

DOT_WIDTH = 8
"""Input channels of one dot product."""

COMMAND_SHARE = 4
"""Commands of this many blocks are in flight."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a generation of the unit takes.

    Attributes:
        engines: that share every block.
        reduced_channels: input channels of one step of the depth-first order, in dot products.
        whole_steps: a step takes as long for fewer channels.
        weight_decoders: each gives 8 weights a cycle.
        pooling_cycles: per tap and micro-block.
        restart_cycles: lost between steps where a block has only one micro-block of pixels.
        output_cycles: of the output unit per element.
        bias_cycles: of fetching bias and scale, per channel of a block.
        port_bytes: a cycle, for the first and the last block.
        write_latency: cycles after the last block.
    """

    engines: int
    reduced_channels: int
    whole_steps: bool
    weight_decoders: int
    pooling_cycles: int
    restart_cycles: int
    output_cycles: float
    bias_cycles: float
    port_bytes: float
    write_latency: float


def layer_cycles(layer: Layer, block: Block, timing: Timing) -> float:
    """Cycles of a whole layer."""
    result = block.result.within(layer.result)
    per_block = result.blocks(block.micro).volume
    blocks = layer.result.blocks(block.micro).volume / per_block
    reduction = reduction_cycles(layer, block, timing)
    output = float(ceil(timing.output_cycles * result.volume))
    if layer.kind != "pooling":
        output = max(output, timing.bias_cycles * result.depth)
    source = block.source.within(layer.source)
    first = source.volume * layer.bits // 8 / timing.port_bytes
    last = result.volume * layer.bits // 8 / timing.port_bytes
    waiting = abs(first - last) if blocks > 1 else 0.0
    issue = (waiting + reduction + output) / COMMAND_SHARE
    slow, fast = max(reduction, output, issue), max(min(reduction, output), issue)
    return slow * blocks + fast + first + last + timing.write_latency


def reduction_cycles(layer: Layer, block: Block, timing: Timing) -> float:
    """Cycles in which the multipliers work on one block."""
    source = block.source.within(layer.source)
    micro = block.result.within(layer.result).blocks(block.micro)
    decode = 4 * block.micro.depth // timing.weight_decoders
    wide = layer.bits // 8
    slices = ceil_div(source.depth, DOT_WIDTH)
    cycles = 0.0
    for taps in layer.subkernels:
        if layer.kind == "pooling":
            steps, repeats = 1, 1
            busy = max(4, taps) * timing.pooling_cycles * wide * micro.volume
        elif layer.kind == "depthwise":
            steps, repeats = ceil_div(taps, TAPS_AT_A_TIME), 1
            busy = max(decode, 4 * micro.area * wide) * steps * micro.depth
        elif block.part_kernel:
            steps, repeats = ceil_div(taps, TAPS_AT_A_TIME // wide), slices
            busy = max(decode, 4 * micro.area) * steps * micro.depth * slices
        else:
            full = timing.reduced_channels // DOT_WIDTH
            steps, repeats = taps, 1
            step = full if timing.whole_steps else min(full, slices)
            busy = max(decode, step * micro.area) * steps * micro.depth * wide
        cycles += busy + _restarts(micro, steps) * timing.restart_cycles * repeats
    if layer.kind == "conv":
        cycles *= ceil_div(layer.source.depth, source.depth)
    return cycles / timing.engines


def _restarts(micro: Shape, steps: int) -> int:
    """How often the multipliers wait for their own sums."""
    if micro.area > 1:
        return 0
    return steps if micro.depth == 1 else (steps - 1) * micro.depth
