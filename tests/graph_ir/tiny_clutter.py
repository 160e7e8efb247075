"""Tiny models with what exporters leave behind: shape arithmetic, Constant nodes, functions."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.graph_ir.tiny_builder import TinyBuilder


def constant_node_weights() -> onnx.ModelProto:
    """Every weight sits in a Constant node; one goes through Identity."""
    b = TinyBuilder(14)
    x = b.input("image", [1, 3, 6, 6])
    values = b.random.standard_normal((4, 3, 3, 3)).astype(np.float32)
    weight = b.node("Constant", value=numpy_helper.from_array(values))
    bias = b.node("Constant", value_floats=[0.1, -0.2, 0.3, 0.0])
    y = b.node("Conv", x, b.node("Identity", weight), bias)
    y = b.node("Pow", b.node("Abs", y), b.node("Constant", value_float=0.5))
    shape = b.node("Constant", value_ints=[1, -1])
    b.node("Reshape", y, shape, to="flat")
    b.output("flat", [1, 64])
    return b.build()


def constant_of_shape_weights() -> onnx.ModelProto:
    """The light topologies: ConstantOfShape of an initializer that is also a graph input."""
    b = TinyBuilder(9)
    x = b.input("image", [1, 3, 6, 6])
    shape = b.constant([4, 3, 3, 3], np.int64, name="weight_shape")
    b.input("weight_shape", [4], TensorProto.INT64)
    value = numpy_helper.from_array(np.array([0.02], np.float32))
    y = b.node("Conv", x, b.node("ConstantOfShape", shape, value=value))
    scale = b.constant([1.0, 0.5, 0.25, 2.0], name="scale")
    b.input("scale", [4])
    zeros = b.node("ConstantOfShape", b.constant([4], np.int64))
    y = b.node("BatchNormalization", y, scale, zeros, zeros, scale)
    b.node("Relu", y, to="out")
    b.output("out", [1, 4, 4, 4])
    return b.build()


def shape_clutter() -> onnx.ModelProto:
    """A symbolic batch and length; Shape-Gather-Unsqueeze-Concat feed Reshape and Expand."""
    b = TinyBuilder(13)
    x = b.input("hidden", ["batch", "length", 8])
    shape = b.node("Shape", x)
    parts = []
    for axis in (0, 1):
        size = b.node("Gather", shape, b.constant(axis, np.int64), axis=0)
        parts.append(b.node("Unsqueeze", size, b.constant([0], np.int64)))
    target = b.node("Concat", *parts, b.constant([2, 4], np.int64), axis=0)
    y = b.node("Transpose", b.node("Reshape", x, target), perm=[0, 2, 1, 3])
    rows = b.cast(b.cast(parts[1], TensorProto.FLOAT), TensorProto.INT64)
    zero, one = b.constant(0, np.int64), b.constant(1, np.int64)
    squeezed = b.node("Squeeze", rows, b.constant([0], np.int64))
    positions = b.cast(b.node("Range", zero, squeezed, one), TensorProto.FLOAT)
    positions = b.node("Unsqueeze", positions, b.constant([1], np.int64))
    y = b.node("Add", y, b.node("Expand", positions, target_of(b, rows)))
    filled = b.node("ConstantOfShape", target_of(b, rows),
                    value=numpy_helper.from_array(np.array([0.5], np.float32)))  # fmt: skip
    y = b.node("Where", b.node("Greater", positions, b.constant(1.0)), y, filled)
    y = b.node("Slice", y, b.constant([0], np.int64), rows, b.constant([2], np.int64))
    b.node("Div", y, b.node("Sqrt", b.cast(b.node("Size", x), TensorProto.FLOAT)), to="out")
    b.output("out", ["batch", 2, "length", 4])
    return b.build()


def target_of(b: TinyBuilder, rows: str) -> str:
    return b.node("Concat", rows, b.constant([4], np.int64), axis=0)


def dynamic_pad() -> onnx.ModelProto:
    """Pads computed by Cast chains, as tf2onnx writes SAME padding."""
    b = TinyBuilder(11)
    x = b.input("image", ["N", 7, 7, 3])
    x = b.node("Transpose", x, perm=[0, 3, 1, 2])
    size = b.cast(b.node("Shape", x), TensorProto.INT32)
    width = b.node("Slice", size, b.constant([3], np.int64), b.constant([4], np.int64))
    odd = b.node("Mod", b.cast(width, TensorProto.INT64), b.constant([2], np.int64))
    zeros = b.constant([0, 0, 0, 0, 0, 0], np.int64)
    pads = b.node("Concat", zeros, odd, odd, axis=0)
    y = b.node("Pad", x, pads, b.constant(0.0))
    b.node("Conv", y, b.weight(4, 3, 2, 2), strides=[2, 2], to="out")
    b.output("out", ["N", 4, 4, 4])
    return b.build()


def no_op_clutter() -> onnx.ModelProto:
    """Identity, Dropout, and Cast, Reshape, Transpose, Slice, Concat, Pad that change nothing."""
    b = TinyBuilder(18)
    x = b.input("hidden", [2, 3, 4])
    y = b.node("Dropout", b.node("Identity", x), b.constant(0.1))
    y = b.cast(y, TensorProto.FLOAT)
    y = b.node("Reshape", y, b.constant([0, -1, 4], np.int64))
    y = b.node("Transpose", b.node("Relu", y), perm=[0, 1, 2])
    y = b.node(
        "Slice", y, b.constant([0], np.int64), b.constant([9], np.int64), b.constant([1], np.int64)
    )
    y = b.node("Concat", y, axis=1)
    y = b.node("Pad", y, b.constant([0] * 6, np.int64))
    y = b.node("Expand", y, b.constant([3, 1], np.int64))
    y = b.node("Sum", b.node("Tile", y, b.constant([1, 1, 1], np.int64)))
    b.node("Sigmoid", b.node("Transpose", y, perm=[1, 0, 2]))
    y = b.node("Add", y, b.constant(np.zeros((1, 4))))
    b.node("Identity", b.node("Mul", b.constant([1.0]), y), to="out")
    b.output("out", [2, 3, 4])
    return b.build()


def common_subexpressions() -> onnx.ModelProto:
    """The same product twice, weights stored twice, and two random draws that must stay two."""
    b = TinyBuilder(18)
    x = b.input("hidden", [3, 4])
    values = b.random.standard_normal((4, 4)).astype(np.float32)
    one, two = b.constant(values), b.constant(values)
    left = b.node("Relu", b.node("MatMul", x, one))
    right = b.node("Relu", b.node("MatMul", x, two))
    y = b.node("Add", left, b.node("Neg", b.node("Sigmoid", right)))
    noise = [b.node("RandomNormalLike", y, seed=float(s)) for s in (1, 2)]
    noise = b.node("Mul", b.node("Sub", *noise), b.constant(0.0))
    b.node("Add", y, noise, to="out")
    b.output("out", [3, 4])
    return b.build()


def pass_through() -> onnx.ModelProto:
    """An input and an initializer that are outputs, one value that is output twice over."""
    b = TinyBuilder(18)
    x = b.input("x", [2, 2])
    b.constant([1.0, 2.0], name="table")
    y = b.node("Relu", x, to="y")
    b.node("Identity", x, to="x_again")
    b.node("Identity", y, to="y_again")
    b.node("Identity", "table", to="table_again")
    for name in ("y", "x_again", "y_again"):
        b.output(name, [2, 2])
    b.output("table_again", [2])
    return b.build()


def local_function() -> onnx.ModelProto:
    """A model-local function with an attribute, called twice."""
    b = TinyBuilder(18)
    x = b.input("x", [2, 4])
    weight = b.weight(4, 4)
    y = b.node("Linear", x, weight, domain="local", alpha=0.5)
    b.node("Linear", y, weight, domain="local", alpha=2.0, to="out")
    b.output("out", [2, 4])
    leaky = helper.make_node("LeakyRelu", ["h"], ["y"], name="leaky")
    leaky.attribute.add(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="alpha")
    product = helper.make_node("MatMul", ["x", "w"], ["h"], name="product")
    b.functions.append(
        helper.make_function(
            "local", "Linear", ["x", "w"], ["y"], [product, leaky],
            [helper.make_opsetid("", 18)], attributes=["alpha"],
        )
    )  # fmt: skip
    return b.build()


def branch(name: str, nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [2, 4])
    return helper.make_graph(nodes, name, [], [output])


def constant_if() -> onnx.ModelProto:
    """An If whose condition folds to a constant; its branches read outer values."""
    b = TinyBuilder(18)
    x = b.input("x", [2, "width"])
    width = b.node("Gather", b.node("Shape", x), b.constant(1, np.int64))
    condition = b.node("Equal", width, b.constant(4, np.int64))
    weight = b.weight(4, 4, name="w")
    then = [
        helper.make_node("MatMul", [x, weight], ["m"], name="m"),
        helper.make_node("Relu", ["m"], ["then_out"], name="r"),
    ]
    other = [helper.make_node("Neg", [x], ["else_out"], name="n")]
    y = b.node("If", condition, then_branch=branch("then", then), else_branch=branch("else", other))
    b.node("Sigmoid", y, to="out")
    b.output("out", [2, 4])
    return b.build()


def half_precision() -> onnx.ModelProto:
    """fp16 weights widened by Cast, fp16 arithmetic, bf16-free."""
    b = TinyBuilder(18)
    x = b.input("x", [2, 4], TensorProto.FLOAT16)
    weight = b.constant(b.random.standard_normal((4, 4)), np.float16)
    y = b.node("MatMul", b.cast(x, TensorProto.FLOAT), b.cast(weight, TensorProto.FLOAT))
    y = b.node("Relu", b.cast(y, TensorProto.FLOAT16), to="out")
    b.output("out", [2, 4], TensorProto.FLOAT16)
    return b.build()


def sparse_weights() -> onnx.ModelProto:
    """Two sparse initializers: one with flat indices, one with an index per axis."""
    b = TinyBuilder(18)
    x = b.input("x", [2, 4])
    y = b.node("Add", b.node("MatMul", x, "flat"), "paired", to="out")
    b.output(y, [2, 3])
    model = b.build()
    for name, indices, shape in (
        ("flat", np.array([1, 4, 11]), [4, 3]),
        ("paired", np.array([[0, 2], [1, 0], [1, 1]]), [2, 3]),
    ):
        values = numpy_helper.from_array(np.array([1.5, -2.0, 3.0], np.float32), name)
        pairs = numpy_helper.from_array(indices.astype(np.int64), f"{name}_indices")
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, pairs, shape))
    return model


CLUTTER_MODELS = {
    "sparse_weights": sparse_weights,
    "constant_node_weights": constant_node_weights,
    "constant_of_shape_weights": constant_of_shape_weights,
    "shape_clutter": shape_clutter,
    "dynamic_pad": dynamic_pad,
    "no_op_clutter": no_op_clutter,
    "common_subexpressions": common_subexpressions,
    "pass_through": pass_through,
    "local_function": local_function,
    "constant_if": constant_if,
    "half_precision": half_precision,
}
