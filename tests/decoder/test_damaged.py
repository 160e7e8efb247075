"""Damaged sources are refused in one line, or read as what they are."""

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.decoder.read import read_decoder
from graph_ir.errors import InputError
from tests.decoder.mixed_source import mixed_source
from tests.decoder.op_families import group_query

OPERATORS = ["Relu", "Mul", "Transpose", "Softmax", "MatMul", "Concat", "Identity", "Reshape"]
SOURCES = {
    "graph": mixed_source(window=5).model(),
    "operator": group_query().model(),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged") / "damaged.onnx"


@settings(max_examples=12)
@given(data=st.data())
@pytest.mark.parametrize("source", SOURCES)
def test_no_damage_is_a_crash(source, path, data):
    model = onnx.ModelProto()
    model.CopyFrom(SOURCES[source])
    graph = model.graph
    node = data.draw(st.sampled_from(list(graph.node)), label="node")
    match data.draw(st.integers(0, 5), label="damage"):
        case 0 if node.input:
            at = data.draw(st.integers(0, len(node.input) - 1))
            node.input[at] = data.draw(st.sampled_from(list(graph.node))).output[0]
        case 1:
            node.op_type = data.draw(st.sampled_from(OPERATORS))
        case 2 if node.attribute:
            del node.attribute[data.draw(st.integers(0, len(node.attribute) - 1))]
        case 3:
            del graph.output[data.draw(st.integers(0, len(graph.output) - 1))]
        case 4:
            value = data.draw(st.sampled_from(list(graph.input)))
            value.type.tensor_type.elem_type = data.draw(st.sampled_from([1, 6, 7, 9, 10]))
        case _:
            value = data.draw(st.sampled_from(list(graph.input)))
            dim = data.draw(st.sampled_from(list(value.type.tensor_type.shape.dim)))
            dim.dim_value = data.draw(st.sampled_from([-1, 0, 1, 2, 7, 1 << 40]))
    onnx.save(model, path)
    line = str(path)
    try:
        read_decoder(path, OnnxRuntimeRunner())
    except InputError as error:
        line = str(error)
    assert "\n" not in line
    assert line.startswith(str(path))
