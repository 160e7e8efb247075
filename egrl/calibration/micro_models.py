"""The models that rates are measured on: one op each, of shapes that no real model was asked for.

Channels, extents and batch sizes are spread over what networks of the last ten years use, small
and large. None of the development models takes part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


@dataclass(frozen=True, slots=True)
class Micro:
    """A model of one op.

    Attributes:
        family: whose rate it measures; a family of the matrix unit, or of the vector unit.
        label: for people.
        proto: the model.
        is_mac: True where the matrix unit's rate is measured.
        execution_type: that it is lowered to.
    """

    family: str
    label: str
    proto: onnx.ModelProto
    is_mac: bool
    execution_type: str = "fp32"


# A chain of convolutions of one extent: channels from one to the next, kernel, extent. Chains keep
# what onnxruntime does at the ends (changing layouts) small beside what is measured.
CONV_CHAINS = (
    ((32, 32, 32, 32), 3, 64), ((64, 64, 64, 64), 3, 40), ((96, 96, 96, 96), 3, 24),
    ((128, 128, 128), 3, 24), ((160, 160, 160), 3, 16), ((256, 256, 256), 3, 12),
    ((512, 512, 512), 3, 6), ((64, 192, 64), 3, 32), ((48, 48, 48), 5, 40),
    ((32, 128, 32, 128, 32), 1, 48), ((64, 256, 64, 256, 64), 1, 40),
    ((96, 384, 96, 384, 96), 1, 24), ((128, 512, 128, 512, 128), 1, 20),
    ((256, 1024, 256), 1, 12), ((512, 2048, 512), 1, 6), ((320, 640, 320), 1, 10),
)  # fmt: skip
# Channels out of an image of three, kernel, stride, extent of the output.
STEMS = ((32, 3, 2, 80), (48, 7, 2, 96), (64, 3, 1, 96))
# Channels, kernel, extent: three in a chain.
DEPTHWISE = ((32, 3, 64), (96, 3, 48), (192, 5, 24), (320, 3, 16), (640, 5, 8), (960, 3, 8))
# Rows, inner, columns.
MATMULS = (
    (96, 320, 320), (96, 320, 1280), (96, 1280, 320), (160, 640, 640), (160, 640, 2560),
    (64, 1024, 1024), (192, 1024, 1024), (320, 512, 512), (256, 512, 2048),
)  # fmt: skip
# Heads, tokens, numbers per head.
ATTENTIONS = ((8, 96, 48), (10, 160, 64), (16, 192, 64), (6, 320, 32))
# Channels and extent of an image.
IMAGES = ((40, 64), (96, 48), (192, 24), (320, 40))
# Rows and numbers in each.
ROWS = ((96, 320), (160, 640), (192, 1024), (640, 512))


def micro_models() -> list[Micro]:
    """All of them, in order of family."""
    rng = np.random.default_rng(0)
    models = [_conv_chain(rng, *chain) for chain in CONV_CHAINS]
    models += [
        _conv_chain(rng, (3, channels), kernel, extent, stride)
        for channels, kernel, stride, extent in STEMS
    ]
    models += [
        _conv_chain(rng, (channels,) * 4, kernel, extent, depthwise=True)
        for channels, kernel, extent in DEPTHWISE
    ]
    models += [_matmul(rng, *shape) for shape in MATMULS]
    models += [_int8_matmul(rng, *shape) for shape in MATMULS[:5]]
    models += [_attention(*shape) for shape in ATTENTIONS]
    models += [_lstm(rng, hidden) for hidden in (96, 160, 320)]
    for channels, extent in IMAGES:
        image = [1, channels, extent, extent]
        models += [
            _plain("elementwise", "Add", [image, image]),
            _plain("elementwise", "Relu", [image]),
            _plain("elementwise", "Sigmoid", [image]),
            _plain("elementwise", "Mul", [image, [1, channels, 1, 1]]),
            _plain(
                "pooling", "MaxPool", [image], kernel_shape=[3, 3], strides=[2, 2],
                pads=[1, 1, 1, 1],
            ),
            _plain("pooling", "AveragePool", [image], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            _plain("reduction", "GlobalAveragePool", [image]),
            _resize(image),
            _plain("movement", "Concat", [image, image], axis=1),
            _plain("movement", "Transpose", [image], perm=[0, 2, 3, 1]),
        ]  # fmt: skip
    for rows, width in ROWS:
        tokens = [1, rows, width]
        models += [
            _layer_norm(rng, rows, width),
            _plain("softmax", "Softmax", [tokens], axis=-1),
            _plain("reduction", "ReduceMean", [tokens], axes=[1], keepdims=0),
            _gather(rng, rows, width),
            _plain("elementwise", "Tanh", [tokens]),
            _quantize(tokens),
        ]
    return models


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, list[int], int]],
    output: tuple[str, list[int] | None, int],
    weights: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "micro",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape, kind in inputs],
        [helper.make_tensor_value_info(output[0], output[2], output[1])],
        list(weights),
    )
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="egrl"
    )
    return onnx.shape_inference.infer_shapes(proto, strict_mode=True)


def _weight(rng: np.random.Generator, name: str, shape: Sequence[int]) -> onnx.TensorProto:
    values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array(values.astype(np.float32), name)


def _conv_chain(
    rng: np.random.Generator,
    channels: tuple[int, ...],
    kernel: int,
    extent: int,
    stride: int = 1,
    depthwise: bool = False,
) -> Micro:
    """Convolutions with a bias and an activation, one after the other."""
    nodes, weights = [], []
    value = "x"
    for at, (before, after) in enumerate(pairwise(channels)):
        groups = before if depthwise else 1
        weights += [
            _weight(rng, f"w{at}", [after, before // groups, kernel, kernel]),
            _weight(rng, f"b{at}", [after]),
        ]
        nodes += [
            helper.make_node(
                "Conv", [value, f"w{at}", f"b{at}"], [f"c{at}"], f"conv{at}",
                kernel_shape=[kernel, kernel], strides=[stride, stride],
                pads=[kernel // 2] * 4, group=groups,
            ),
            helper.make_node("Relu", [f"c{at}"], [f"r{at}"], f"relu{at}"),
        ]  # fmt: skip
        value = f"r{at}"
    proto = _model(
        nodes,
        [("x", [1, channels[0], extent * stride, extent * stride], TensorProto.FLOAT)],
        (value, [1, channels[-1], extent, extent], TensorProto.FLOAT),
        weights,
    )
    label = f"{'-'.join(map(str, channels))}, {extent}x{extent}, {kernel}x{kernel}/{stride}"
    return Micro("depthwise" if depthwise else "conv", label, proto, True)


def _matmul(rng: np.random.Generator, rows: int, inner: int, columns: int) -> Micro:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], "product"),
        helper.make_node("Add", ["p", "b"], ["y"], "bias"),
    ]
    proto = _model(
        nodes,
        [("x", [1, rows, inner], TensorProto.FLOAT)],
        ("y", [1, rows, columns], TensorProto.FLOAT),
        [_weight(rng, "w", [inner, columns]), _weight(rng, "b", [columns])],
    )
    return Micro("matmul", f"{rows}x{inner}x{columns}", proto, True)


def _int8_matmul(rng: np.random.Generator, rows: int, inner: int, columns: int) -> Micro:
    """Quantised as it runs, as onnxruntime's own tools write it."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "quantize"),
        helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["i"], "product"),
        helper.make_node("Cast", ["i"], ["f"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["scale"], "scales"),
        helper.make_node("Mul", ["f", "scale"], ["y"], "rescale"),
    ]
    weights = [
        numpy_helper.from_array(rng.integers(-127, 128, (inner, columns)).astype(np.int8), "w"),
        numpy_helper.from_array(np.array(0, np.int8), "wz"),
        numpy_helper.from_array(np.array(0.01, np.float32), "ws"),
    ]
    proto = _model(
        nodes,
        [("x", [1, rows, inner], TensorProto.FLOAT)],
        ("y", [1, rows, columns], TensorProto.FLOAT),
        weights,
    )
    return Micro("int8", f"{rows}x{inner}x{columns}", proto, True, "int8")


def _attention(heads: int, tokens: int, width: int) -> Micro:
    nodes = [
        helper.make_node("MatMul", ["q", "k"], ["scores"], "scores"),
        helper.make_node("Div", ["scores", "root"], ["scaled"], "scale"),
        helper.make_node("Softmax", ["scaled"], ["shares"], "softmax", axis=-1),
        helper.make_node("MatMul", ["shares", "v"], ["y"], "values"),
    ]
    rows = [1, heads, tokens, width]
    proto = _model(
        nodes,
        [
            ("q", rows, TensorProto.FLOAT),
            ("k", [1, heads, width, tokens], TensorProto.FLOAT),
            ("v", rows, TensorProto.FLOAT),
        ],
        ("y", rows, TensorProto.FLOAT),
        [numpy_helper.from_array(np.array(width**0.5, np.float32), "root")],
    )
    return Micro("attention", f"{heads} x {tokens} x {width}", proto, True)


def _lstm(rng: np.random.Generator, hidden: int) -> Micro:
    steps = 32
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], "lstm", hidden_size=hidden)
    proto = _model(
        [node],
        [("x", [steps, 1, hidden], TensorProto.FLOAT)],
        ("y", [steps, 1, 1, hidden], TensorProto.FLOAT),
        [
            _weight(rng, "w", [1, 4 * hidden, hidden]),
            _weight(rng, "r", [1, 4 * hidden, hidden]),
        ],
    )
    return Micro("recurrent", f"{steps} steps of {hidden}", proto, False)


def _plain(family: str, op: str, shapes: list[list[int]], **attributes: object) -> Micro:
    names = [f"x{index}" for index in range(len(shapes))]
    node = helper.make_node(op, names, ["y"], "op", **attributes)
    inputs = [(name, shape, TensorProto.FLOAT) for name, shape in zip(names, shapes, strict=True)]
    proto = _model([node], inputs, ("y", None, TensorProto.FLOAT))
    return Micro(family, f"{op} {'x'.join(map(str, shapes[0]))}", proto, False)


def _layer_norm(rng: np.random.Generator, rows: int, width: int) -> Micro:
    node = helper.make_node("LayerNormalization", ["x", "g", "b"], ["y"], "norm", axis=-1)
    shape = [1, rows, width]
    proto = _model(
        [node],
        [("x", shape, TensorProto.FLOAT)],
        ("y", shape, TensorProto.FLOAT),
        [_weight(rng, "g", [width]), _weight(rng, "b", [width])],
    )
    return Micro("normalization", f"LayerNormalization {rows}x{width}", proto, False)


def _gather(rng: np.random.Generator, rows: int, width: int) -> Micro:
    node = helper.make_node("Gather", ["w", "x"], ["y"], "gather")
    proto = _model(
        [node],
        [("x", [1, rows], TensorProto.INT64)],
        ("y", [1, rows, width], TensorProto.FLOAT),
        [_weight(rng, "w", [2048, width])],
    )
    return Micro("gather", f"{rows} of 2048x{width}", proto, False)


def _resize(image: list[int]) -> Micro:
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], "resize", mode="nearest")
    batch, channels, height, width = image
    proto = _model(
        [node],
        [("x", image, TensorProto.FLOAT)],
        ("y", [batch, channels, 2 * height, 2 * width], TensorProto.FLOAT),
        [numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")],
    )
    return Micro("resize", f"nearest {'x'.join(map(str, image))}", proto, False)


def _quantize(shape: list[int]) -> Micro:
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], "quantize")
    proto = _model(
        [node],
        [("x", shape, TensorProto.FLOAT)],
        ("y", shape, TensorProto.UINT8),
        [
            numpy_helper.from_array(np.array(0.02, np.float32), "s"),
            numpy_helper.from_array(np.array(128, np.uint8), "z"),
        ],
    )
    return Micro("quantization", f"QuantizeLinear {'x'.join(map(str, shape))}", proto, False)
