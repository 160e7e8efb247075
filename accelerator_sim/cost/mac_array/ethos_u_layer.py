"""What an Ethos-U executes as one operation: a layer of height x width x channels, and its block.

The unit computes its output block by block. A block is what the accumulators hold; the input that
it needs is fetched into the input buffer, micro-block by micro-block it is reduced, and the whole
block leaves through the output unit (Ethos-U55 technical overview; ethos-u-vela 5.2.0).
"""

from dataclasses import dataclass, replace
from math import ceil, isqrt

from accelerator_sim.cost.mac_array.rates import ceil_div
from graph_ir.datatypes import BITS
from graph_ir.workload import MacWork, Op, OpFamily, Role, Window

SUBKERNEL = 8
"""Kernels are cut into pieces of at most this many taps in height and in width."""

BRICK_CHANNELS = 16
"""Feature maps are kept in bricks of so many channels."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Height, width and channels."""

    height: int
    width: int
    depth: int

    @property
    def area(self) -> int:
        """Pixels."""
        return self.height * self.width

    @property
    def volume(self) -> int:
        """Elements."""
        return self.area * self.depth

    def within(self, other: "Shape") -> "Shape":
        """The part of this that the other has too."""
        return Shape(
            min(self.height, other.height),
            min(self.width, other.width),
            min(self.depth, other.depth),
        )

    def blocks(self, block: "Shape") -> "Shape":
        """How many blocks cover this along each axis."""
        return Shape(
            ceil_div(self.height, block.height),
            ceil_div(self.width, block.width),
            ceil_div(self.depth, block.depth),
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation of the unit.

    Attributes:
        kind: `conv` reduces over channels, `depthwise` and `pooling` do not.
        source: input feature map.
        result: output feature map.
        kernel: taps in height and width.
        strides: likewise.
        dilations: likewise.
        bits: of an activation.
    """

    kind: str
    source: Shape
    result: Shape
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    bits: int = 8

    @property
    def taps(self) -> int:
        """Of the kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def reach(self) -> tuple[int, int]:
        """Extent of the dilated kernel."""
        return (
            (self.kernel[0] - 1) * self.dilations[0] + 1,
            (self.kernel[1] - 1) * self.dilations[1] + 1,
        )

    @property
    def subkernels(self) -> tuple[int, ...]:
        """Taps of each piece of the kernel."""
        heights, widths = (_pieces(extent) for extent in self.kernel)
        return tuple(height * width for width in widths for height in heights)

    @property
    def input_passes(self) -> int:
        """How often a large kernel makes the input pass by."""
        return ceil_div(self.reach[0], SUBKERNEL) * ceil_div(self.reach[1], SUBKERNEL)

    def needed(self, block: Shape) -> tuple[int, int]:
        """Input rows and columns below an output block, one piece of the kernel at a time."""
        return (
            (block.height - 1) * self.strides[0] + min(self.reach[0], SUBKERNEL),
            (block.width - 1) * self.strides[1] + min(self.reach[1], SUBKERNEL),
        )


@dataclass(frozen=True, slots=True)
class Block:
    """How a layer is cut.

    Attributes:
        result: output of one block.
        source: input of one block.
        micro: output that is reduced at a time.
        part_kernel: taps rather than channels fill the reduction (few input channels).
    """

    result: Shape
    source: Shape
    micro: Shape
    part_kernel: bool


def _pieces(extent: int) -> list[int]:
    return [min(SUBKERNEL, extent - at) for at in range(0, extent, SUBKERNEL)]


def round_up(value: int, quantum: int) -> int:
    """The next multiple of the quantum."""
    return ceil_div(value, quantum) * quantum


def layer_of(work: MacWork) -> tuple[Layer, int]:
    """A product as an operation of the unit, and how often it is repeated (groups, heads).

    A matrix product becomes a 1 x 1 convolution over a nearly square image of its rows (the
    compiler folds them so that both extents of the micro-block are used).
    """
    bits = BITS[work.left_type]
    window = work.window
    if window is None:
        height, width = folded(work.rows)
        source = Shape(height, width, work.inner)
        return Layer("conv", source, Shape(height, width, work.columns), bits=bits), work.batch
    images = max(1, work.rows // max(1, window.output_size[0] * window.output_size[1]))
    if work.depthwise:
        channels = work.batch
        layer = windowed("depthwise", window, channels, channels * work.columns, bits)
        return layer, images
    layer = windowed("conv", window, work.inner // work.kernel_positions, work.columns, bits)
    share = work.rows / (images * window.output_size[0] * window.output_size[1])
    if share < 1:  # one of several cores computes a part of the rows
        result = replace(layer.result, height=max(1, ceil(layer.result.height * share)))
        layer = replace(layer, result=result)
    return layer, work.batch * images


def windowed(kind: str, window: Window, channels: int, filters: int, bits: int) -> Layer:
    """A convolution or pooling with its window."""
    return Layer(
        kind,
        Shape(*window.input_size, channels),
        Shape(*window.output_size, filters),
        window.kernel,
        window.strides,
        window.dilations,
        bits,
    )


def folded(rows: int) -> tuple[int, int]:
    """Height and width of the image that the rows of a matrix product become."""
    if rows <= 1:
        return 1, 1
    width = max(rows // 16, isqrt(rows - 1) + 1)
    height = next(h for h in range(rows // width, 0, -1) if rows % h == 0)
    return height, rows // height


def pooling_layer(op: Op) -> Layer | None:
    """A pooling as an operation of the unit; None for any other op."""
    if op.family is not OpFamily.POOLING or op.window is None:
        return None
    outputs = [o for o in op.operands if o.role is Role.OUTPUT]
    if len(outputs) != 1:
        return None
    return windowed("pooling", op.window, op.columns, op.columns, BITS[op.execution_type])
