"""Clamps behind quantized products: rewritten so that onnxruntime fuses, the function stays."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from egrl.compression.compress import Compression, compress
from egrl.compression.error import relative_error, run_samples
from egrl.compression.inputs import draw_inputs
from graph_ir.load import load_model
from graph_ir.lower import lower
from runtime.manifest import Execution


def clamped(path, act, bounds, bias, rows):
    rng = np.random.default_rng(3)
    arrays = {
        "w1": rng.standard_normal((64, 96)) / 8,
        "w2": rng.standard_normal((96, 32)) / 8,
        "b": rng.standard_normal(96),
        **{f"bound{at}": np.float32(b) for at, b in enumerate(bounds) if b is not None},
    }
    names = ["" if b is None else f"bound{at}" for at, b in enumerate(bounds)]
    nodes = [helper.make_node("MatMul", ["x", "w1"], ["p"], "first")]
    if bias:
        nodes.append(helper.make_node("Add", ["p", "b"], ["s"], "add"))
    nodes += [
        helper.make_node(act, ["s" if bias else "p", *names], ["r"], "clamp"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*rows, 64])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [*rows, 32]),
            helper.make_tensor_value_info("r", TensorProto.FLOAT, [*rows, 96]),
        ],
        [numpy_helper.from_array(np.asarray(a, np.float32), name) for name, a in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)


@pytest.mark.parametrize("rows", [[4], [2, 4]])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("act", "bounds"),
    [
        ("Relu", ()),
        ("Clip", (0.0, 0.5)),
        ("Clip", (-0.25,)),
        ("Clip", (None, 0.5)),
        ("Clip", (0.5, 0.0)),
    ],
)
def test_product_before_a_clamp_is_fused_and_clamped(tmp_path, act, bounds, bias, rows):
    clamped(tmp_path / "m.onnx", act, bounds, bias, rows)
    model, source = load_model(tmp_path / "m.onnx"), load_model(tmp_path / "m.onnx")
    done = compress(model, Compression(("int8:rtn,group=16",)))
    assert sum(done.details[0].record.kernels.values()) == 2
    samples = draw_inputs(source.graph_model.graph, 5).samples
    expected = run_samples(source.graph_model, samples, Execution())
    got = run_samples(model.graph_model, samples, done.execution)
    assert relative_error(expected, got) < 0.02
    assert [value.name for value in model.graph_model.graph.outputs] == ["y", "r"]
    # A clamp is part of its product's op, as it was.
    assert len(lower(model).workload.ops) == len(lower(source).workload.ops)
