"""Models that import must refuse: name -> (file content, a piece of the expected message)."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.graph_ir.tiny_builder import TinyBuilder
from tests.graph_ir.tiny_clutter import branch
from tests.graph_ir.tiny_vision import conv_bn_relu_residual


def two_nodes(first_input: str = "x", second_output: str = "y") -> onnx.ModelProto:
    """Relu, then Neg; the arguments misconnect them."""
    b = TinyBuilder(18)
    b.input("x", [2, 3])
    b.node("Relu", first_input, to="h")
    b.node("Neg", "h", to=second_output)
    b.output("y", [2, 3])
    return b.build()


def with_initializer(tensor: onnx.TensorProto) -> onnx.ModelProto:
    model = two_nodes()
    model.graph.initializer.append(tensor)
    model.graph.node.append(helper.make_node("Neg", [tensor.name], ["unused"], name="n"))
    return model


def empty() -> bytes:
    return b""


def wrong_magic() -> bytes:
    return b"PK\x03\x04" + bytes(range(200))


def text() -> bytes:
    return b"this is not a model\n" * 10


def truncated() -> bytes:
    return conv_bn_relu_residual().SerializeToString()[:-100]


def no_graph() -> bytes:
    return onnx.ModelProto(ir_version=8).SerializeToString()


def no_outputs() -> onnx.ModelProto:
    model = two_nodes()
    del model.graph.output[:]
    return model


def cycle() -> onnx.ModelProto:
    return two_nodes(first_input="y")


def self_loop() -> onnx.ModelProto:
    return two_nodes(first_input="h")


def dangling_input() -> onnx.ModelProto:
    return two_nodes(first_input="nowhere")


def dangling_output() -> onnx.ModelProto:
    return two_nodes(second_output="elsewhere")


def duplicate_value() -> onnx.ModelProto:
    model = two_nodes()
    model.graph.node.append(helper.make_node("Abs", ["x"], ["h"], name="again"))
    return model


def duplicate_initializer() -> onnx.ModelProto:
    model = with_initializer(numpy_helper.from_array(np.ones(3, np.float32), "w"))
    model.graph.initializer.append(model.graph.initializer[0])
    return model


def duplicate_node() -> onnx.ModelProto:
    model = two_nodes()
    model.graph.node[0].name = model.graph.node[1].name = "same"
    return model


def initializer_is_produced() -> onnx.ModelProto:
    model = two_nodes()
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "h"))
    return model


def ten_gigabytes() -> onnx.ModelProto:
    return with_initializer(
        TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=[2500, 1000, 1000])
    )


def ten_gigabytes_of_shape() -> onnx.ModelProto:
    b = TinyBuilder(18)
    x = b.input("x", [1])
    huge = b.node("ConstantOfShape", b.constant([2500, 1000, 1000], np.int64))
    b.node("Add", x, huge, to="y")
    b.output("y", [2500, 1000, 1000])
    return b.build()


def short_raw_data() -> onnx.ModelProto:
    tensor = numpy_helper.from_array(np.ones(8, np.float32), "w")
    tensor.dims[0] = 9
    return with_initializer(tensor)


def short_float_data() -> onnx.ModelProto:
    return with_initializer(
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], float_data=[1.0, 2.0])
    )


def wrong_data_field() -> onnx.ModelProto:
    return with_initializer(
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], int64_data=[1, 2])
    )


def negative_extent() -> onnx.ModelProto:
    return with_initializer(
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-2, -2], float_data=[1.0] * 4)
    )


def unknown_data_type() -> onnx.ModelProto:
    return with_initializer(TensorProto(name="w", data_type=77, dims=[1], raw_data=b"1234"))


def name_not_utf8() -> bytes:
    content = two_nodes().SerializeToString()
    assert content.count(b"\x01h") == 2
    return content.replace(b"\x01h", b"\x01\xff")


def symbolic() -> onnx.ModelProto:
    b = TinyBuilder(18)
    b.node("Relu", b.input("x", ["batch", None, 3]), to="y")
    b.output("y", None)
    return b.build()


def no_shape() -> onnx.ModelProto:
    model = two_nodes()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    return model


def sequence_input() -> onnx.ModelProto:
    model = two_nodes()
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, [2, 3])
    model.graph.input[0].type.CopyFrom(helper.make_sequence_type_proto(element))
    return model


def opset_8() -> onnx.ModelProto:
    model = two_nodes()
    model.opset_import[0].version = 8
    return model


def opset_99() -> onnx.ModelProto:
    model = two_nodes()
    model.opset_import[0].version = 99
    return model


def unknown_operator() -> onnx.ModelProto:
    model = two_nodes()
    model.graph.node[0].op_type = "Frobnicate"
    return model


def unknown_domain() -> onnx.ModelProto:
    model = two_nodes()
    model.graph.node[0].domain = "example.com"
    model.opset_import.append(helper.make_opsetid("example.com", 1))
    return model


def unknown_contrib() -> onnx.ModelProto:
    model = two_nodes()
    model.graph.node[0].op_type = "Frobnicate"
    model.graph.node[0].domain = "com.microsoft"
    return model


def missing_attribute() -> onnx.ModelProto:
    b = TinyBuilder(18)
    b.node("Concat", b.input("x", [2, 3]), "x", to="y")
    b.output("y", [4, 3])
    return b.build()


def shapes_do_not_fit() -> onnx.ModelProto:
    b = TinyBuilder(18)
    b.node("MatMul", b.input("x", [2, 3]), b.weight(4, 5), to="y")
    b.output("y", [2, 5])
    return b.build()


def types_do_not_fit() -> onnx.ModelProto:
    b = TinyBuilder(18)
    b.node("Add", b.input("x", [2, 3]), b.constant([1, 2, 3], np.int64), to="y")
    b.output("y", [2, 3])
    return b.build()


def non_zero() -> onnx.ModelProto:
    b = TinyBuilder(18)
    b.node("NonZero", b.input("x", [2, 3]), to="y")
    b.output("y", None, TensorProto.INT64)
    return b.build()


def computed_reshape() -> onnx.ModelProto:
    b = TinyBuilder(18)
    x = b.input("x", [2, 3])
    b.node("Reshape", x, b.input("target", [2], TensorProto.INT64), to="y")
    b.output("y", None)
    return b.build()


def data_dependent_if() -> onnx.ModelProto:
    b = TinyBuilder(18)
    b.input("x", [2, 4])
    then = branch("then", [helper.make_node("Relu", ["x"], ["a"], name="r")])
    other = branch("else", [helper.make_node("Neg", ["x"], ["c"], name="n")])
    condition = b.input("flag", [], TensorProto.BOOL)
    b.node("If", condition, to="y", then_branch=then, else_branch=other)
    b.output("y", [2, 4])
    return b.build()


def loop() -> onnx.ModelProto:
    b = TinyBuilder(18)
    b.input("x", [2, 4])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"], name="i"),
            helper.make_node("Relu", ["v"], ["w"], name="r"),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [2, 4]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 4]),
        ],
    )
    b.node("Loop", b.constant(3, np.int64), b.constant(True, np.bool_), "x", to="y", body=body)
    b.output("y", [2, 4])
    return b.build()


def nan_scales() -> onnx.ModelProto:
    b = TinyBuilder(13)
    x = b.input("x", [1, 1, 4, 4])
    scales = b.constant([1.0, 1.0, float("nan"), 2.0])
    b.node("Resize", x, "", scales, mode="nearest", to="y")
    b.output("y", None)
    return b.build()


def negative_target() -> onnx.ModelProto:
    b = TinyBuilder(13)
    b.node("ConstantOfShape", b.constant([-3, 4], np.int64), to="zeros")
    b.node("Add", b.input("x", [4]), "zeros", to="y")
    b.output("y", None)
    return b.build()


def function_cycle() -> onnx.ModelProto:
    model = two_nodes()
    model.opset_import.append(helper.make_opsetid("local", 1))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    for name, other in (("F", "G"), ("G", "F")):
        call = helper.make_node(other, ["a"], ["b"], domain="local", name="call")
        model.functions.append(helper.make_function("local", name, ["a"], ["b"], [call], opsets))
    model.graph.node[0].op_type = "F"
    model.graph.node[0].domain = "local"
    return model


def function_explosion() -> onnx.ModelProto:
    """Ten calls in each of ten functions: 10^10 nodes."""
    model = two_nodes()
    model.opset_import.append(helper.make_opsetid("local", 1))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    for level in range(10):
        kind, domain = (f"F{level + 1}", "local") if level < 9 else ("Neg", "")
        names = ["a", *(f"v{i}" for i in range(9)), "b"]
        nodes = [
            helper.make_node(kind, [names[i]], [names[i + 1]], domain=domain, name=f"n{i}")
            for i in range(10)
        ]
        model.functions.append(
            helper.make_function("local", f"F{level}", ["a"], ["b"], nodes, opsets)
        )
    model.graph.node[0].op_type = "F0"
    model.graph.node[0].domain = "local"
    return model


def sparse_index() -> onnx.ModelProto:
    model = two_nodes()
    values = numpy_helper.from_array(np.ones(2, np.float32), "w")
    indices = numpy_helper.from_array(np.array([0, 99]), "w_indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))
    return model


def newer_format() -> onnx.ModelProto:
    model = two_nodes()
    model.ir_version = 99
    return model


def string_input() -> onnx.ModelProto:
    b = TinyBuilder(18)
    x = b.input("x", [2], TensorProto.STRING)
    b.node("Identity", x, to="y")
    b.output("y", [2], TensorProto.STRING)
    return b.build()


def string_output() -> onnx.ModelProto:
    b = TinyBuilder(18)
    y = b.cast(b.input("x", [2]), TensorProto.STRING)
    b.node("Identity", y, to="y")
    b.output("y", [2], TensorProto.STRING)
    return b.build()


def string_constant() -> onnx.ModelProto:
    b = TinyBuilder(18)
    words = TensorProto(
        name="words", data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"b"]
    )
    b.initializers.append(words)
    b.node("Gather", "words", b.input("i", [1], TensorProto.INT64), to="y")
    b.output("y", [1], TensorProto.STRING)
    return b.build()


def endless_input() -> onnx.ModelProto:
    b = TinyBuilder(18)
    x = b.input("x", [2**40, 2**40])
    b.node("Size", x, to="y")
    b.output("y", [], TensorProto.INT64)
    return b.build()


BAD_MODELS: dict[str, tuple[Callable[[], onnx.ModelProto | bytes], str]] = {
    "empty": (empty, "empty file"),
    "wrong_magic": (wrong_magic, "not an ONNX model"),
    "text": (text, "not an ONNX model"),
    "truncated": (truncated, "not an ONNX model, or truncated"),
    "no_graph": (no_graph, "holds no graph"),
    "cycle": (cycle, "cycle: node"),
    "self_loop": (self_loop, "cycle: node"),
    "dangling_input": (dangling_input, "input 'nowhere' is produced by nothing"),
    "dangling_output": (dangling_output, "output 'y' is produced by nothing"),
    "duplicate_value": (duplicate_value, "value 'h': the name is given twice"),
    "duplicate_initializer": (duplicate_initializer, "initializer 'w': the name is given twice"),
    "duplicate_node": (duplicate_node, "node 'same': the name is given twice"),
    "initializer_is_produced": (initializer_is_produced, "value 'h': the name is given twice"),
    "ten_gigabytes": (ten_gigabytes, "needs 2500000000 values, got 0"),
    "ten_gigabytes_of_shape": (ten_gigabytes_of_shape, "needs 10000000000 bytes"),
    "short_raw_data": (short_raw_data, "needs 36 bytes, got 32"),
    "short_float_data": (short_float_data, "needs 3 values, got 2"),
    "wrong_data_field": (wrong_data_field, "expected in float_data"),
    "negative_extent": (negative_extent, "negative extent"),
    "unknown_data_type": (unknown_data_type, "unknown data type 77"),
    "name_not_utf8": (name_not_utf8, "not UTF-8"),
    "symbolic": (symbolic, "give --dim batch=N --dim x:1=N"),
    "no_shape": (no_shape, "input 'x': it has no shape"),
    "sequence_input": (sequence_input, "expected a tensor"),
    "opset_8": (opset_8, "opset 8, expected 9 to 25"),
    "opset_99": (opset_99, "opset 99, expected 9 to 25"),
    "unknown_operator": (unknown_operator, "(Frobnicate)"),
    "unknown_domain": (unknown_domain, "domain 'example.com'"),
    "unknown_contrib": (unknown_contrib, "(com.microsoft::Frobnicate): onnxruntime has no"),
    "missing_attribute": (missing_attribute, "axis"),
    "shapes_do_not_fit": (shapes_do_not_fit, "(MatMul)"),
    "types_do_not_fit": (types_do_not_fit, "is INT64, another operand FLOAT"),
    "non_zero": (non_zero, "(NonZero): the shape of its output 'y' depends on the data"),
    "computed_reshape": (computed_reshape, "depends on the values of 'target'"),
    "data_dependent_if": (data_dependent_if, "(If): control flow that depends on data"),
    "loop": (loop, "(Loop): control flow"),
    "nan_scales": (nan_scales, "(Resize): 'constant_1' is not finite"),
    "no_outputs": (no_outputs, "has no outputs"),
    "negative_target": (negative_target, "(ConstantOfShape)"),
    "function_explosion": (function_explosion, "come to"),
    "sparse_index": (sparse_index, "do not fit"),
    "newer_format": (newer_format, "ONNX format version 99"),
    "string_input": (string_input, "input 'x': it holds strings"),
    "string_output": (string_output, "(Cast): it holds strings"),
    "string_constant": (string_constant, "(Gather): its input 'words' holds strings"),
    "endless_input": (endless_input, "is beyond any memory"),
    "function_cycle": (function_cycle, "functions call each other in a circle: '"),
}
