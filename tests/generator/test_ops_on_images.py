"""Generated ops on images have the fields of lowered ones."""

import pytest

from egrl.generator.ops.builder import WorkloadBuilder
from egrl.generator.ops.images import concat, conv, global_pool, pool, resize, transposed_conv
from egrl.generator.ops.products import matmul
from egrl.generator.ops.vectors import batch_norm, elementwise, local_response_norm, softmax
from tests.generator.support import assert_same, check
from tests.graph_ir.tiny_builder import TinyBuilder


def _conv(
    b: TinyBuilder, x: str, channels: int, inputs: int, kernel: int = 1, stride: int = 1,
    groups: int = 1, bias: bool = True, dilation: int = 1, size: int = 12,
) -> str:  # fmt: skip
    out = -(-size // stride)
    total = max(0, (out - 1) * stride + (kernel - 1) * dilation + 1 - size)
    pads = [total // 2, total // 2, total - total // 2, total - total // 2]
    weights = [b.weight(channels, inputs // groups, kernel, kernel)]
    if bias:
        weights.append(b.weight(channels))
    return b.node(
        "Conv", x, *weights, kernel_shape=[kernel, kernel], strides=[stride, stride],
        dilations=[dilation, dilation], group=groups, pads=pads,
    )  # fmt: skip


@pytest.mark.parametrize("execution_type", ["fp16", "int8"])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(1, 1, 1), (1, 2, 1), (3, 1, 1), (3, 2, 1), (5, 1, 2)]
)
def test_convolution(kernel: int, stride: int, dilation: int, execution_type: str) -> None:
    b = TinyBuilder()
    y = _conv(b, b.input("image", [1, 3, 12, 12]), 8, 3, kernel, stride, dilation=dilation)
    out = -(-12 // stride)
    b.node("Relu", y, to="result")
    b.output("result", [1, 8, out, out])
    builder = WorkloadBuilder("main", execution_type)
    image = builder.input("image", (1, 3, 12, 12))
    result = conv(builder, "conv", image, 8, kernel, stride, dilation=dilation, activation="relu")
    assert_same(builder.finish([result]), b.build())


def test_residual_block_with_a_shortcut_convolution() -> None:
    b = TinyBuilder()
    x = b.node("Relu", _conv(b, b.input("image", [1, 3, 12, 12]), 8, 3, 3))
    y = b.node("Relu", _conv(b, x, 4, 8))
    y = b.node("Relu", _conv(b, y, 4, 4, 3, 2))
    y = _conv(b, y, 16, 4, size=6)
    y = b.node("Relu", b.node("Add", y, _conv(b, x, 16, 8, 1, 2)))
    z = b.node("Relu", _conv(b, y, 16, 16, 3, bias=False, size=6))
    b.node("Relu", b.node("Add", _conv(b, z, 16, 16, 3, size=6), y), to="result")
    b.output("result", [1, 16, 6, 6])
    builder = WorkloadBuilder("main", "fp16")
    image = builder.input("image", (1, 3, 12, 12))
    v = conv(builder, "stem", image, 8, 3, activation="relu")
    w = conv(builder, "1", v, 4, activation="relu")
    w = conv(builder, "2", w, 4, 3, 2, activation="relu")
    w = conv(builder, "3", w, 16)
    w = conv(builder, "4", v, 16, 1, 2, activation="relu", added=(w,))
    u = conv(builder, "5", w, 16, 3, activation="relu", bias=False)
    u = conv(builder, "6", u, 16, 3, activation="relu", added=(w,))
    workload = builder.finish([u])
    check(workload)
    assert_same(workload, b.build())


def test_inverted_residual_with_gate() -> None:
    b = TinyBuilder()
    x = b.input("image", [1, 8, 12, 12])
    y = b.node("HardSwish", _conv(b, x, 24, 8))
    y = b.node("HardSwish", _conv(b, y, 24, 24, 3, groups=24))
    gate = b.node("GlobalAveragePool", y)
    gate = b.node("Relu", _conv(b, gate, 8, 24, size=1))
    gate = b.node("HardSigmoid", _conv(b, gate, 24, 8, size=1))
    y = b.node("Mul", y, gate)
    b.node("Add", _conv(b, y, 8, 24), x, to="result")
    b.output("result", [1, 8, 12, 12])
    builder = WorkloadBuilder("main", "fp16")
    image = builder.input("image", (1, 8, 12, 12))
    v = conv(builder, "expand", image, 24, activation="hard_swish")
    v = conv(builder, "depthwise", v, 24, 3, groups=24, activation="hard_swish")
    w = global_pool(builder, "squeeze", v)
    w = conv(builder, "reduce", w, 8, activation="relu")
    w = conv(builder, "excite", w, 24, activation="hard_sigmoid")
    v = elementwise(builder, "gate", [v, w], v.shape, 1)
    assert_same(builder.finish([conv(builder, "project", v, 8, added=(image,))]), b.build())


def test_grouped_convolution_and_average_pooling() -> None:
    b = TinyBuilder()
    y = _conv(b, b.input("image", [1, 8, 12, 12]), 16, 8, 3, groups=4)
    b.node("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2], to="result")
    b.output("result", [1, 16, 6, 6])
    builder = WorkloadBuilder("main", "fp16")
    v = conv(builder, "conv", builder.input("image", (1, 8, 12, 12)), 16, 3, groups=4)
    assert_same(builder.finish([pool(builder, "pool", v, 2, 2)]), b.build())


def test_branches_classifier_and_probabilities() -> None:
    b = TinyBuilder()
    x = b.node("LRN", b.input("image", [1, 8, 12, 12]), size=5)
    one = b.node("Relu", _conv(b, x, 16, 8))
    two = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    y = b.node("Concat", one, two, axis=1)
    y = b.node("Flatten", b.node("GlobalAveragePool", y))
    y = b.node("Gemm", y, b.weight(24, 10), b.weight(10))
    b.node("Softmax", y, axis=-1, to="result")
    b.output("result", [1, 10])
    builder = WorkloadBuilder("main", "fp16")
    v = local_response_norm(builder, "norm", builder.input("image", (1, 8, 12, 12)))
    left = conv(builder, "one", v, 16, activation="relu")
    w = concat(builder, "concat", [left, pool(builder, "two", v, 3, 1)])
    w = global_pool(builder, "pool", w)
    w = matmul(builder, "classifier", w, 10, leading=(1,))
    assert_same(builder.finish([softmax(builder, "softmax", w)]), b.build())


@pytest.mark.parametrize("folded", [False, True])
def test_dense_layer(folded: bool) -> None:
    b = TinyBuilder()
    x = b.input("image", [1, 8, 12, 12])
    if folded:
        y = b.node("Add", b.node("Mul", x, b.weight(1, 8, 1, 1)), b.weight(1, 8, 1, 1))
    else:
        y = b.batch_norm(x, 8)
    y = _conv(b, b.node("Relu", y), 4, 8, 3, bias=False)
    b.node("Concat", x, y, axis=1, to="result")
    b.output("result", [1, 12, 12, 12])
    builder = WorkloadBuilder("main", "fp16")
    image = builder.input("image", (1, 8, 12, 12))
    v = batch_norm(builder, "norm", image, folded=folded)
    v = conv(builder, "grow", v, 4, 3, bias=False)
    assert_same(builder.finish([concat(builder, "concat", [image, v])]), b.build())


def test_enlargements() -> None:
    b = TinyBuilder()
    x = b.input("image", [1, 8, 6, 6])
    skip = b.input("skip", [1, 4, 24, 24])
    y = b.node(
        "ConvTranspose", x, b.weight(8, 4, 2, 2), b.weight(4),
        kernel_shape=[2, 2], strides=[2, 2],
    )  # fmt: skip
    y = b.node("Resize", y, "", b.constant([1.0, 1.0, 2.0, 2.0]), mode="nearest")
    b.node("Add", y, skip, to="result")
    b.output("result", [1, 4, 24, 24])
    builder = WorkloadBuilder("main", "fp16")
    v = transposed_conv(builder, "up", builder.input("image", (1, 8, 6, 6)), 4)
    v = resize(builder, "resize", v, 2, (builder.input("skip", (1, 4, 24, 24)),))
    assert_same(builder.finish([v]), b.build())


def test_a_transposed_convolution_whose_windows_overlap() -> None:
    b = TinyBuilder()
    y = b.node(
        "ConvTranspose", b.input("image", [1, 8, 6, 6]), b.weight(8, 4, 4, 4), b.weight(4),
        kernel_shape=[4, 4], strides=[2, 2], pads=[1, 1, 1, 1],
    )  # fmt: skip
    b.node("Add", y, b.input("skip", [1, 4, 12, 12]), to="result")
    b.output("result", [1, 4, 12, 12])
    builder = WorkloadBuilder("main", "fp16")
    image = builder.input("image", (1, 8, 6, 6))
    skip = builder.input("skip", (1, 4, 12, 12))
    v = transposed_conv(builder, "up", image, 4, 4, 2, added=(skip,))
    assert_same(builder.finish([v]), b.build())
