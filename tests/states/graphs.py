"""Small graphs with states."""

import json

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from graph_ir.load import load_model
from graph_ir.model import Model

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
HEADS, SLOTS, WIDTH = 2, 16, 8


def _value(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def cache_proto(states=(("past", "present"),), reads="present", scatter="ScatterND"):
    """A cache in which one row is written and to which a query attends.

    Args:
        states: the pairs in the metadata; None for no metadata.
        reads: `past`, or `present`: what the attention reads.
        scatter: the op that writes the row.
    """
    row = (1, HEADS, 1, WIDTH)
    shape = (1, HEADS, SLOTS, WIDTH)
    if scatter == "TensorScatter":
        write = helper.make_node(
            "TensorScatter", ["past", "row", "slot"], ["present"], name="write", axis=2
        )
        slot = _value("slot", (1,), INT64)
    else:
        write = helper.make_node("ScatterND", ["past", "slot", "row"], ["present"], name="write")
        slot = _value("slot", (1, HEADS, 1, 3), INT64)
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["row"], name="double"),
        write,
        helper.make_node("Transpose", [reads], ["turned"], name="turn", perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["row", "turned"], ["scores"], name="scores"),
        helper.make_node("Softmax", ["scores"], ["shares"], name="softmax", axis=-1),
        helper.make_node("MatMul", ["shares", reads], ["y"], name="mixed"),
    ]
    two = numpy_helper.from_array(np.full((WIDTH,), 2.0, np.float32), "two")
    graph = helper.make_graph(
        nodes,
        "main",
        [_value("x", row), slot, _value("past", shape)],
        [_value("y", row), _value("present", shape)],
        [two],
    )
    opset = 24 if scatter == "TensorScatter" else 17
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    if states is not None:
        metadata = states if isinstance(states, str) else json.dumps([list(p) for p in states])
        helper.set_model_props(model, {"egrl.states": metadata})
    return model


def cache_model(tmp_path, **changes) -> Model:
    """The same, loaded."""
    path = tmp_path / "cache.onnx"
    onnx.save(cache_proto(**changes), path)
    return load_model(path)


def states_of(model: ir.Model) -> list[list[str]]:
    """The pairs in a model's metadata."""
    return json.loads(model.metadata_props["egrl.states"])
