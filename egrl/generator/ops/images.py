"""Ops on images: convolutions, poolings, resizes, concatenations.

Padding keeps an image's size at stride 1 and divides it, rounding up, otherwise.
"""

from collections.abc import Sequence
from math import prod

from egrl.generator.ops.builder import Reads, Value, WorkloadBuilder
from egrl.generator.ops.epilogue import ACTIVATIONS
from graph_ir.op_rules.facts import BOTH, SplitSpace, activation_space
from graph_ir.workload import MacWork, OpFamily, Role, Split, Window


def conv(
    builder: WorkloadBuilder,
    name: str,
    source: Value,
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    dilation: int = 1,
    bias: bool = True,
    activation: str = "none",
    added: Sequence[Value] = (),
    weight: Value | None = None,
) -> Value:
    """A convolution with bias, activation and residual adds.

    Args:
        builder: the workload.
        name: of the op.
        source: image [batch, channels, height, width].
        channels: of the result.
        kernel: height and width of the window.
        stride: in both directions.
        groups: of channels; as many as channels for a depthwise one.
        dilation: in both directions.
        bias: whether there is one.
        activation: a key of `ACTIVATIONS`.
        added: images of the result's shape that are added to it.
        weight: one that another op owns as well, of the same shape.
    """
    batch, inputs, height, width = source.shape
    size = (-(-height // stride), -(-width // stride))
    shape = (batch, channels, *size)
    space = _image_space(shape)
    depthwise = groups > 1 and inputs == groups
    if weight is None:
        weight = builder.weight(f"{name}.weight", (channels, inputs // groups, kernel, kernel))
    work = MacWork(
        batch=groups,
        rows=batch * prod(size),
        inner=inputs // groups * kernel * kernel,
        columns=channels // groups,
        kernel_positions=kernel * kernel,
        depthwise=depthwise,
        left_type=source.data_type,
        right_type=weight.data_type,
        window=Window(
            (height, width), (kernel, kernel), (stride, stride), (dilation, dilation), size
        ),
    )
    halo = _halo_elements(source.shape, size, (kernel - 1) * dilation + 1, stride)
    by_row = BOTH if depthwise else (Split.ROWS,)
    by_channel = space.present((Split.COLUMNS,))
    reads = [
        Reads(source, Role.LEFT, space.present(by_row), halo),
        Reads(weight, Role.RIGHT, by_channel),
    ]
    if bias:
        reads.append(Reads(builder.weight(f"{name}.bias", (channels,)), Role.OTHER, by_channel))
    reads.extend(Reads(value) for value in added)
    per_element = int(bias) + len(added) + ACTIVATIONS[activation]
    return builder.add(
        name, OpFamily.CONV, reads, shape, space, "mac", prod(shape) * per_element, (work,)
    )


def transposed_conv(
    builder: WorkloadBuilder,
    name: str,
    source: Value,
    channels: int,
    kernel: int = 2,
    stride: int = 2,
    activation: str = "none",
    added: Sequence[Value] = (),
) -> Value:
    """A transposed convolution with bias that enlarges an image `stride` times."""
    batch, inputs, height, width = source.shape
    shape = (batch, channels, height * stride, width * stride)
    space = _image_space(shape)
    weight = builder.weight(f"{name}.weight", (inputs, channels, kernel, kernel))
    work = MacWork(
        batch=1,
        rows=batch * height * width,
        inner=inputs,
        columns=channels * kernel * kernel,
        left_type=source.data_type,
        right_type=weight.data_type,
    )
    lines = -(-max(0, kernel - stride) // stride)
    by_channel = space.present((Split.COLUMNS,))
    reads = [
        Reads(source, Role.LEFT, space.present((Split.ROWS,)), lines * inputs * width),
        Reads(weight, Role.RIGHT, by_channel),
        Reads(builder.weight(f"{name}.bias", (channels,)), Role.OTHER, by_channel),
    ]
    reads.extend(Reads(value) for value in added)
    vector_ops = prod(shape) * (1 + len(added) + ACTIVATIONS[activation])
    return builder.add(name, OpFamily.CONV, reads, shape, space, "mac", vector_ops, (work,))


def pool(builder: WorkloadBuilder, name: str, source: Value, kernel: int, stride: int) -> Value:
    """A maximum or average over windows."""
    batch, channels, height, width = source.shape
    size = (-(-height // stride), -(-width // stride))
    shape = (batch, channels, *size)
    space = _image_space(shape)
    reads = [
        Reads(
            source,
            Role.OTHER,
            space.present(BOTH),
            _halo_elements(source.shape, size, kernel, stride),
        )
    ]
    window = Window((height, width), (kernel, kernel), (stride, stride), (1, 1), size)
    return builder.add(
        name, OpFamily.POOLING, reads, shape, space, "vector",
        prod(shape) * kernel * kernel, window=window,
    )  # fmt: skip


def global_pool(builder: WorkloadBuilder, name: str, source: Value) -> Value:
    """The average of every channel."""
    batch, channels, _, _ = source.shape
    space = activation_space(source.shape, (2, 3))
    return builder.add(
        name, OpFamily.REDUCTION, [Reads(source)], (batch, channels, 1, 1), space, "vector",
        source.elements,
    )  # fmt: skip


def resize(
    builder: WorkloadBuilder, name: str, source: Value, scale: int, added: Sequence[Value] = ()
) -> Value:
    """Nearest neighbour; images of the result's shape may be added to it."""
    batch, channels, height, width = source.shape
    shape = (batch, channels, height * scale, width * scale)
    space = _image_space(shape)
    reads = [Reads(source, Role.OTHER, space.present(BOTH)), *(Reads(value) for value in added)]
    return builder.add(
        name, OpFamily.RESIZE, reads, shape, space, "vector", prod(shape) * (1 + len(added))
    )


def concat(builder: WorkloadBuilder, name: str, sources: Sequence[Value]) -> Value:
    """Channels of several images, copied one behind the other."""
    first = sources[0].shape
    shape = (first[0], sum(source.shape[1] for source in sources), *first[2:])
    space = activation_space(shape)
    reads = [Reads(source, Role.OTHER, space.present(BOTH)) for source in sources]
    return builder.add(name, OpFamily.MOVEMENT, reads, shape, space, "linear", 0)


def _image_space(shape: tuple[int, ...]) -> SplitSpace:
    return SplitSpace(shape, (0, 2, 3), (1,))


def _halo_elements(source: tuple[int, ...], size: tuple[int, int], reach: int, stride: int) -> int:
    """Input elements that two cores both need where rows of the output are cut between them."""
    cut = next((axis for axis in range(2) if size[axis] > 1), None)
    if cut is None:
        return 0
    line = source[1] * prod(source[2:]) // max(1, source[2 + cut])
    return max(0, reach - stride) * line
