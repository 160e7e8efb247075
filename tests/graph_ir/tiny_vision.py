"""Tiny convolutional models."""

import numpy as np
import onnx
from onnx import TensorProto

from tests.graph_ir.tiny_builder import TinyBuilder


def conv_bn_relu_residual() -> onnx.ModelProto:
    """Two Conv-BN-Relu and a residual Add before the last Relu, as in a ResNet basic block."""
    b = TinyBuilder(18)
    x = b.input("image", [1, 4, 8, 8])
    y = b.node("Conv", x, b.weight(4, 4, 3, 3), pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    y = b.node("Relu", b.batch_norm(y, 4))
    y = b.node("Conv", y, b.weight(4, 4, 3, 3), b.weight(4, scale=0.1), pads=[1, 1, 1, 1])
    y = b.node("Add", b.batch_norm(y, 4), x)
    b.node("Relu", y, to="features")
    b.output("features", [1, 4, 8, 8])
    return b.build()


def resnet_bottleneck() -> onnx.ModelProto:
    """Stem, max pool, a strided bottleneck with a projection shortcut, global pool and Gemm."""
    b = TinyBuilder(18)
    x = b.input("image", [1, 3, 16, 16])
    y = b.node("Conv", x, b.weight(8, 3, 7, 7), pads=[3, 3, 3, 3], strides=[2, 2])
    y = b.node("Relu", b.batch_norm(y, 8))
    y = b.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    z = b.node("Relu", b.batch_norm(b.node("Conv", y, b.weight(4, 8, 1, 1)), 4))
    z = b.node("Conv", z, b.weight(4, 4, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2])
    z = b.node("Relu", b.batch_norm(z, 4))
    z = b.batch_norm(b.node("Conv", z, b.weight(16, 4, 1, 1)), 16)
    shortcut = b.batch_norm(b.node("Conv", y, b.weight(16, 8, 1, 1), strides=[2, 2]), 16)
    y = b.node("Relu", b.node("Add", z, shortcut))
    y = b.node("Flatten", b.node("GlobalAveragePool", y), axis=1)
    b.node("Gemm", y, b.weight(10, 16), b.weight(10, scale=0.1), transB=1, to="logits")
    b.output("logits", [1, 10])
    return b.build()


def mobile_block() -> onnx.ModelProto:
    """Expansion, depthwise and projection with Clip(0, 6), HardSwish and x * Sigmoid(x)."""
    b = TinyBuilder(18)
    x = b.input("image", [1, 4, 10, 10])
    y = b.node("Conv", x, b.weight(16, 4, 1, 1), b.weight(16, scale=0.1))
    y = b.node("Clip", y, b.constant(0.0), b.constant(6.0))
    y = b.node("Conv", y, b.weight(16, 1, 3, 3), group=16, pads=[1, 1, 1, 1], strides=[2, 2])
    y = b.node("HardSwish", b.batch_norm(y, 16))
    y = b.node("Conv", y, b.weight(8, 16, 1, 1), b.weight(8, scale=0.1))
    y = b.node("Mul", y, b.node("Sigmoid", y))
    y = b.node("ReduceMean", y, b.constant([2, 3], np.int64), keepdims=0)
    b.node("Softmax", y, axis=-1, to="scores")
    b.output("scores", [1, 8])
    return b.build()


def group_conv() -> onnx.ModelProto:
    """A grouped, dilated convolution and a channel shuffle by Reshape-Transpose-Reshape."""
    b = TinyBuilder(13)
    x = b.input("image", [2, 8, 9, 7])
    y = b.node("Conv", x, b.weight(8, 2, 3, 3), group=4, dilations=[2, 2], pads=[2, 2, 2, 2])
    y = b.node("Reshape", y, b.constant([2, 4, 2, 9, 7], np.int64))
    y = b.node("Transpose", y, perm=[0, 2, 1, 3, 4])
    y = b.node("Reshape", y, b.constant([2, 8, 9, 7], np.int64))
    b.node("Conv", y, b.weight(4, 4, 1, 1), group=2, to="shuffled")
    b.output("shuffled", [2, 4, 9, 7])
    return b.build()


def squeeze_excite() -> onnx.ModelProto:
    """A per-channel gate computed from the pooled features."""
    b = TinyBuilder(18)
    x = b.input("image", [1, 8, 6, 6])
    y = b.node("Relu", b.node("Conv", x, b.weight(8, 8, 3, 3), pads=[1, 1, 1, 1]))
    gate = b.node("GlobalAveragePool", y)
    gate = b.node("Relu", b.node("Conv", gate, b.weight(2, 8, 1, 1), b.weight(2)))
    gate = b.node("HardSigmoid", b.node("Conv", gate, b.weight(8, 2, 1, 1), b.weight(8)))
    b.node("Mul", y, gate, to="gated")
    b.output("gated", [1, 8, 6, 6])
    return b.build()


def conv_transpose_bn() -> onnx.ModelProto:
    """A grouped ConvTranspose and a plain one, each followed by BatchNormalization."""
    b = TinyBuilder(11)
    x = b.input("image", [1, 4, 5, 5])
    y = b.node("ConvTranspose", x, b.weight(4, 3, 2, 2), group=2, strides=[2, 2])
    y = b.node("Relu", b.batch_norm(y, 6))
    y = b.node("ConvTranspose", y, b.weight(6, 2, 2, 2), b.weight(2, scale=0.1), strides=[2, 2])
    b.node("Sigmoid", b.batch_norm(y, 2), to="mask")
    b.output("mask", [1, 2, 20, 20])
    return b.build()


def conv_scale_shift() -> onnx.ModelProto:
    """Mul and Add by per-channel constants after a Conv, and Mul, Add after a MatMul."""
    b = TinyBuilder(18)
    x = b.input("image", [1, 3, 8, 8])
    y = b.node("Conv", x, b.weight(4, 3, 3, 3))
    y = b.node("Mul", y, b.positive(1, 4, 1, 1))
    y = b.node("Relu", b.node("Add", b.weight(4, 1, 1), y))
    y = b.node("Div", y, b.constant(2.0))
    y = b.node("Flatten", b.node("GlobalMaxPool", y))
    y = b.node("MatMul", y, b.weight(4, 5))
    b.node("Add", y, b.weight(5), to="logits")
    b.output("logits", [1, 5])
    return b.build()


def gemm_batch_norm() -> onnx.ModelProto:
    """Gemm followed by BatchNormalization on features, then a MatMul with the same."""
    b = TinyBuilder(15)
    x = b.input("features", [3, 6])
    y = b.node("Gemm", x, b.weight(5, 6), b.weight(5), transB=1, alpha=0.5, beta=2.0)
    y = b.node("Tanh", b.batch_norm(y, 5))
    y = b.batch_norm(b.node("Gemm", y, b.weight(5, 4)), 4)
    b.node("LeakyRelu", y, alpha=0.1, to="embedding")
    b.output("embedding", [3, 4])
    return b.build()


def resize_pyramid() -> onnx.ModelProto:
    """A feature pyramid: nearest and linear Resize, Concat, MaxPool with ceil."""
    b = TinyBuilder(13)
    x = b.input("image", [1, 4, 8, 8])
    low = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[3, 3], ceil_mode=1)
    low = b.node("Conv", low, b.weight(4, 4, 1, 1))
    up = b.node(
        "Resize", low, "", "", b.constant([1, 4, 8, 8], np.int64), mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    half = b.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    wide = b.node(
        "Resize", half, "", b.constant([1, 1, 2, 2]), mode="linear",
        coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    y = b.node("Concat", up, wide, x, axis=1)
    b.node("Conv", y, b.weight(2, 12, 3, 3), pads=[1, 1, 1, 1], to="map")
    b.output("map", [1, 2, 8, 8])
    return b.build()


def slice_concat_split() -> onnx.ModelProto:
    """Views and copies: Slice, Split, Concat, Pad, Squeeze, Unsqueeze, Transpose, Expand."""
    b = TinyBuilder(18)
    x = b.input("sequence", [2, 6, 8])
    first, second = b.nodes_of("Split", [x, b.constant([3, 5], np.int64)], 2, axis=2)
    y = b.node("Concat", second, first, axis=2)
    y = b.node(
        "Slice", y, b.constant([1], np.int64), b.constant([5], np.int64),
        b.constant([1], np.int64), b.constant([2], np.int64),
    )  # fmt: skip
    y = b.node("Relu", b.node("Transpose", y, perm=[1, 0, 2]))
    y = b.node("Unsqueeze", y, b.constant([1], np.int64))
    y = b.node("Pad", y, b.constant([0, 0, 1, 0, 0, 0, 1, 0], np.int64))
    y = b.node("Squeeze", y, b.constant([1], np.int64))
    bias = b.node("Expand", b.weight(1, 1, 8), b.constant([2, 4, 8], np.int64))
    b.node("Add", b.node("Slice", y, b.constant([0], np.int64), b.constant([6], np.int64)), bias,
           to="views")  # fmt: skip
    b.output("views", [2, 4, 8])
    return b.build()


def qdq_conv() -> onnx.ModelProto:
    """QuantizeLinear and DequantizeLinear around a Conv with int8 per-channel weights."""
    b = TinyBuilder(13)
    x = b.input("image", [1, 3, 8, 8])
    scale, zero = b.constant(0.05), b.constant(128, np.uint8)
    y = b.node("DequantizeLinear", b.node("QuantizeLinear", x, scale, zero), scale, zero)
    weight = b.constant(b.random.integers(-127, 128, (4, 3, 3, 3)), np.int8)
    w = b.node("DequantizeLinear", weight, b.constant([0.01, 0.02, 0.015, 0.005]),
               b.constant([0, 0, 0, 0], np.int8), axis=0)  # fmt: skip
    bias = b.constant([100, -50, 25, 3], np.int32)
    bias = b.node("DequantizeLinear", bias, b.constant([5e-4, 1e-3, 7.5e-4, 2.5e-4]), axis=0)
    y = b.node("Relu", b.node("Conv", y, w, bias, pads=[1, 1, 1, 1]))
    y = b.node("QuantizeLinear", y, scale, zero)
    b.node("DequantizeLinear", y, scale, zero, to="features")
    b.output("features", [1, 4, 8, 8])
    return b.build()


def old_opset() -> onnx.ModelProto:
    """Opset 9: Clip, Slice, Squeeze, Pad, Dropout and ReduceMean with attributes; NHWC input."""
    b = TinyBuilder(9)
    x = b.input("image", [1, 8, 8, 3])
    y = b.node("Transpose", x, perm=[0, 3, 1, 2])
    y = b.node("Pad", y, pads=[0, 0, 0, 0, 0, 0, 1, 1], mode="constant", value=0.0)
    y = b.batch_norm(b.node("Conv", y, b.weight(4, 3, 3, 3), strides=[2, 2]), 4)
    y = b.node("Clip", y, min=0.0, max=6.0)
    y = b.node("Upsample", y, b.constant([1, 1, 2, 2]), mode="nearest")
    y = b.node("Slice", y, starts=[0, 0], ends=[6, 6], axes=[2, 3])
    y = b.node("ReduceMean", y, axes=[2], keepdims=1)
    y = b.node("Squeeze", y, axes=[2])
    y, _mask = b.nodes_of("Dropout", [y], 2, ratio=0.5)
    y = b.node("Flatten", y)
    y = b.node("Gemm", y, b.weight(24, 2), b.weight(2))
    b.node("Softmax", y, to="scores")
    b.output("scores", [1, 2], TensorProto.FLOAT)
    return b.build()


VISION_MODELS = {
    "conv_bn_relu_residual": conv_bn_relu_residual,
    "resnet_bottleneck": resnet_bottleneck,
    "mobile_block": mobile_block,
    "group_conv": group_conv,
    "squeeze_excite": squeeze_excite,
    "conv_transpose_bn": conv_transpose_bn,
    "conv_scale_shift": conv_scale_shift,
    "gemm_batch_norm": gemm_batch_norm,
    "resize_pyramid": resize_pyramid,
    "slice_concat_split": slice_concat_split,
    "qdq_conv": qdq_conv,
    "old_opset": old_opset,
}
