"""What a loaded model looks like."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from graph_ir.errors import InputError
from graph_ir.load import load_model
from tests.graph_ir.tiny_builder import TinyBuilder
from tests.graph_ir.tiny_clutter import branch
from tests.graph_ir.tiny_models import TINY_MODELS


def op_types(model) -> list[str]:
    return [node.op_type for node in model.graph_model.graph]


def save(proto: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("name", sorted(TINY_MODELS))
def test_everything_is_named_typed_and_static(name: str, load_tiny) -> None:
    graph = load_tiny(name)[1].graph_model.graph
    names = [node.name for node in graph]
    assert all(names)
    assert len(set(names)) == len(names)
    values = [*graph.inputs, *graph.initializers.values()]
    values += [output for node in graph for output in node.outputs if output.name]
    assert len({value.name for value in values}) == len(values)
    for value in values:
        assert value.name
        assert value.dtype is not None
        assert all(isinstance(extent, int) for extent in value.shape)
    assert all(value.const_value is None for value in graph.inputs)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant_node_weights", ["Conv", "Abs", "Pow", "Reshape"]),
        ("constant_of_shape_weights", ["Conv", "BatchNormalization", "Relu"]),
        ("shape_clutter", ["Reshape", "Transpose", "Add", "Where", "Slice", "Div"]),
        ("dynamic_pad", ["Transpose", "Pad", "Conv"]),
        ("local_function", ["MatMul", "LeakyRelu", "MatMul", "LeakyRelu"]),
        ("constant_if", ["MatMul", "Relu", "Sigmoid"]),
        ("half_precision", ["Cast", "MatMul", "Cast", "Relu"]),
        ("tied_embedding", ["Gather", "Tanh", "MatMul"]),
        ("int4_matmul", ["DequantizeLinear", "MatMul"]),
    ],
)
def test_clutter_is_folded(name: str, expected: list[str], load_tiny) -> None:
    assert op_types(load_tiny(name)[1]) == expected


def test_initializers_are_no_inputs(load_tiny) -> None:
    _, model = load_tiny("constant_of_shape_weights")
    assert [value.name for value in model.graph_model.graph.inputs] == ["image"]


def test_random_draws_are_not_folded(tmp_path: Path) -> None:
    b = TinyBuilder(18)
    x = b.input("x", [2, 2])
    draw = b.node("RandomNormal", shape=[2, 2])
    b.node("Add", x, b.node("Mul", draw, b.constant(2.0)), to="y")
    b.output("y", [2, 2])
    assert op_types(load_model(save(b.build(), tmp_path))) == ["RandomNormal", "Mul", "Add"]


def test_unused_nodes_are_dropped_before_they_are_judged(tmp_path: Path) -> None:
    b = TinyBuilder(18)
    x = b.input("x", [2, 2])
    b.node("NonZero", x)
    b.node("Relu", x, to="y")
    b.output("y", [2, 2])
    assert op_types(load_model(save(b.build(), tmp_path))) == ["Relu"]


def test_non_zero_of_a_constant_is_folded(tmp_path: Path) -> None:
    b = TinyBuilder(18)
    x = b.input("x", [4, 2])
    rows = b.node("NonZero", b.constant([1.0, 0.0, 0.0, 1.0]))
    rows = b.node("Squeeze", rows, b.constant([0], np.int64))
    b.node("Gather", x, rows, to="y")
    b.output("y", ["some", 2])
    model = load_model(save(b.build(), tmp_path))
    assert op_types(model) == ["Gather"]
    assert list(model.graph_model.graph.outputs[0].shape) == [2, 2]


def test_nodes_out_of_order_are_sorted(tmp_path: Path) -> None:
    proto = TINY_MODELS["bert_layer"]()
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    graph = load_model(save(proto, tmp_path)).graph_model.graph
    seen: set[str] = {value.name for value in [*graph.inputs, *graph.initializers.values()]}
    for node in graph:
        assert all(value.name in seen for value in node.inputs if value is not None)
        seen.update(output.name for output in node.outputs)


def test_wrong_intermediate_shapes_are_not_believed(tmp_path: Path) -> None:
    b = TinyBuilder(18)
    y = b.node("Relu", b.input("x", [2, 3]))
    b.node("Neg", y, to="z")
    b.output("z", ["a", "b"])
    proto = b.build()
    proto.graph.value_info.append(helper.make_tensor_value_info(y, TensorProto.FLOAT, [7, 7]))
    graph = load_model(save(proto, tmp_path)).graph_model.graph
    assert [list(node.outputs[0].shape) for node in graph] == [[2, 3], [2, 3]]


def test_contrib_domain_need_not_be_declared(tmp_path: Path) -> None:
    b = TinyBuilder(18)
    b.node("QuickGelu", b.input("x", [2, 3]), domain="com.microsoft", to="y")
    b.output("y", [2, 3])
    model = load_model(save(b.build(), tmp_path))
    assert model.graph_model.opset_imports == {"": 18, "com.microsoft": 1}


def test_branch_not_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    """Values that only the other branch reads are unused once the branch is chosen."""
    b = TinyBuilder(18)
    x = b.input("x", [2, 4])
    doubled = b.node("Add", x, x)
    b.weight(4, 4, name="w")
    nested = branch("nested", [helper.make_node("MatMul", [doubled, "w"], ["p"], name="p")])
    inner = branch("inner", [helper.make_node("Relu", [doubled], ["q"], name="q")])
    flag = helper.make_node("ReduceMax", [doubled], ["m"], name="m", keepdims=0)
    as_bool = helper.make_node("Cast", ["m"], ["c"], name="c", to=TensorProto.BOOL)
    other = [flag, as_bool]
    other.append(
        helper.make_node("If", ["c"], ["e"], name="f", then_branch=nested, else_branch=inner)
    )
    then = [helper.make_node("Neg", [x], ["t"], name="t")]
    y = b.node(
        "If",
        b.constant(True, np.bool_),
        then_branch=branch("then", then),
        else_branch=branch("else", other),
    )
    b.node("Relu", y, to="out")
    b.output("out", [2, 4])
    graph = load_model(save(b.build(), tmp_path)).graph_model.graph
    assert [node.op_type for node in graph] == ["Neg", "Relu"]
    assert not graph.initializers


def test_function_of_another_opset(tmp_path: Path) -> None:
    """An opset mismatch matters only where the operator changed in between."""
    b = TinyBuilder(18)
    b.node("F", b.input("x", [2, 4]), domain="local", to="y")
    b.output("y", [2, 4])
    body = [helper.make_node("Relu", ["a"], ["b"], name="r")]
    b.functions.append(
        helper.make_function("local", "F", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    )
    assert op_types(load_model(save(b.build(), tmp_path))) == ["Relu"]
    reduce = helper.make_node("ReduceMean", ["a"], ["b"], name="r", axes=[0], keepdims=0)
    b.functions[0].node[0].CopyFrom(reduce)
    with pytest.raises(InputError, match="written for opset 17"):
        load_model(save(b.build(), tmp_path))


class TestDims:
    def proto(self, *shape: int | str | None) -> onnx.ModelProto:
        b = TinyBuilder(18)
        b.node("Relu", b.input("x", shape), to="y")
        b.output("y", [None] * len(shape))
        return b.build()

    def shape(self, folder: Path, shape: list[int | str | None], **dims: int) -> list[int]:
        model = load_model(save(self.proto(*shape), folder), dims)
        return list(model.graph_model.graph.outputs[0].shape)

    def test_named(self, tmp_path: Path) -> None:
        assert self.shape(tmp_path, ["n", 3, "n"], n=5) == [5, 3, 5]

    def test_unnamed_and_negative_are_called_by_position(self, tmp_path: Path) -> None:
        assert self.shape(tmp_path, [None, -1, "?"], **{"x:0": 2, "x:1": 3, "x:2": 4}) == [2, 3, 4]

    def test_expressions_follow(self, tmp_path: Path) -> None:
        shape = ["past + 2*new", "past", "new", "past//new"]
        assert self.shape(tmp_path, shape, past=7, new=2) == [11, 7, 2, 3]

    def test_expression_may_be_given_itself(self, tmp_path: Path) -> None:
        assert self.shape(tmp_path, ["a + b"], **{"a + b": 4}) == [4]

    @pytest.mark.parametrize("shape", ["a + c", "__import__('os')", "a / a", "a//0", "a if a else"])
    def test_other_expressions_stay_open(self, shape: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="without a value"):
            self.shape(tmp_path, ["a", shape], a=2)

    def test_unknown_name_lists_those_that_exist(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no dimension called 'm'; it has: 'n', 'x:1'"):
            self.shape(tmp_path, ["n", None], **{"n": 1, "x:1": 2, "m": 3})

    def test_static_model_takes_no_dims(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="it has: none"):
            self.shape(tmp_path, [2], n=1)

    @pytest.mark.parametrize("value", [-1, 2**40, True, 1.5])
    def test_bad_values(self, value: int, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="not a valid extent"):
            self.shape(tmp_path, ["n"], n=value)
