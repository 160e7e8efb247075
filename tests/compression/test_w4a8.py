"""Matrix products of bytes: dynamic and static ones, and 4-bit weights with byte activations."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from egrl.compression.compress import Compression, compress
from graph_ir.compression.qdq_weights import channel_scale, on_channels
from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.lower import lower
from tests.compression.convolutions import (
    compressed,
    constants_of,
    executed_ops,
    network,
    run,
    source_outputs,
    weight,
)

INNER, COLUMNS = 64, 48


def product(rank, form, seed=0):
    """`y = x W + b` over an x of 2 or 3 axes."""
    rng = np.random.default_rng(seed)
    constants = {"w": weight(rng, INNER, COLUMNS), "b": rng.standard_normal(COLUMNS, np.float32)}
    x_shape = [1, 6, INNER][3 - rank :]
    attributes = {}
    if form == "Gemm":
        constants["w"] = np.ascontiguousarray(constants["w"].T)
        attributes = {"transB": 1, "alpha": 0.5, "beta": 2.0}
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], "product", **attributes)]
    elif form == "MatMul":
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    else:
        nodes = [helper.make_node("MatMul", ["x", "w"], ["p"], "product")]
        inputs = ["p", "b"] if form == "MatMul+Add" else ["b", "p"]
        nodes.append(helper.make_node("Add", inputs, ["y"], "add"))
    return network(nodes, constants, x_shape, [*x_shape[:-1], COLUMNS])


FORMS = [
    (3, "MatMul"),
    (3, "MatMul+Add"),
    (3, "Add+MatMul"),
    (2, "MatMul"),
    (2, "MatMul+Add"),
    (2, "Gemm"),
]


def x_of(rank, seed=1):
    shape = [1, 6, INNER][3 - rank :]
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def channel_product(x, levels, proto, rank, form):
    """The product of rounded activations and 8-bit weights, in float64."""
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    w = arrays["w"].T * np.float32(0.5) if form == "Gemm" else arrays["w"]
    quantized = on_channels(w, 1, 8, channel_scale(w, 1, 8)).dequantized()
    y = levels.astype(np.float64) @ quantized
    if form == "MatMul":
        return y
    return y + arrays["b"] * (2.0 if form == "Gemm" else 1.0)


@pytest.mark.parametrize(("rank", "form"), FORMS)
def test_dynamic_product_is_fused_and_exact(tmp_path, rank, form):
    proto, x = product(rank, form), x_of(rank)
    model, _ = compressed(tmp_path, proto, "int8:dynamic", [x])
    path = tmp_path / "compressed.onnx"
    ops = executed_ops(path)
    assert ops[-1] == "DynamicQuantizeMatMul"
    assert set(ops) <= {"DynamicQuantizeMatMul", "Mul"}
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = np.float32((high - low) / 255)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    rounded = (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale
    expected = channel_product(x, rounded, proto, rank, form)
    assert np.allclose(run(path, x), expected, atol=2e-5 * np.abs(expected).max())
    work = [work for op in lower(model).workload.ops for work in op.mac_work]
    assert [(w.left_type, w.right_type) for w in work] == [("int8", "int8")]


@pytest.mark.parametrize(("rank", "form"), FORMS)
@pytest.mark.parametrize("choice", ["mse", "minmax", "percentile"])
def test_static_product_is_fused_and_exact(tmp_path, rank, form, choice):
    proto, x = product(rank, form), x_of(rank)
    model, _ = compressed(tmp_path, proto, f"int8:static,range={choice}", [x])
    path = tmp_path / "compressed.onnx"
    ops = executed_ops(path)
    assert ops.count("MatMulIntegerToFloat") == 1
    assert set(ops) <= {"QuantizeLinear", "MatMulIntegerToFloat", "Sub", "Mul", "Add"}
    stored = constants_of(path)
    scale, zero = stored["x.scale"][0], int(stored["x.zero"][0])
    rounded = (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale
    expected = channel_product(x, rounded, proto, rank, form)
    assert np.allclose(run(path, x), expected, atol=2e-5 * np.abs(expected).max())
    work = [work for op in lower(model).workload.ops for work in op.mac_work]
    assert [(w.left_type, w.right_type) for w in work] == [("int8", "int8")]


@pytest.mark.parametrize(("rank", "form"), FORMS)
@pytest.mark.parametrize("symmetric", ["true", "false"])
def test_four_bits_with_bytes_stay_one_fused_product(tmp_path, rank, form, symmetric):
    proto, x = product(rank, form), x_of(rank)
    flag = f"int4:rtn,activations=int8,symmetric={symmetric}"
    model, _ = compressed(tmp_path, proto, flag, [x])
    path = tmp_path / "compressed.onnx"
    ops = executed_ops(path, accuracy_level=4)
    assert ops.count("MatMulNBits") == 1
    # A second DequantizeLinear would be the weight's, on every call.
    assert ops.count("DequantizeLinear") == 1
    work = [work for op in lower(model).workload.ops for work in op.mac_work]
    assert [(w.left_type, w.right_type) for w in work] == [("int8", "int4")]
    # Unfused, the graph multiplies the rounded activations with the dequantized weight.
    fused, exact = run(path, x, accuracy_level=1), run(path, x, level="basic")
    assert np.allclose(fused, exact, atol=1e-4 * np.abs(exact).max())
    expected = source_outputs(proto, x)
    assert np.linalg.norm(exact - expected) < 0.15 * np.linalg.norm(expected)
    assert [value.name for value in onnx.load(path).graph.output] == ["y"]


def shared(seed=0):
    """Two products and a residual add read one tensor."""
    rng = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Tanh", ["x"], ["t"], "tanh"),
        helper.make_node("MatMul", ["t", "w1"], ["p1"], "first"),
        helper.make_node("MatMul", ["t", "w2"], ["p2"], "second"),
        helper.make_node("Mul", ["p1", "p2"], ["m"], "mul"),
        helper.make_node("Add", ["m", "t"], ["y"], "residual"),
    ]
    constants = {"w1": weight(rng, INNER, INNER), "w2": weight(rng, INNER, INNER)}
    return network(nodes, constants, [1, 6, INNER], [1, 6, INNER])


@pytest.mark.parametrize(
    ("flag", "quantize"),
    [
        ("int8:dynamic", "DynamicQuantizeLinear"),
        ("int8:static", "QuantizeLinear"),
        ("int4:rtn,activations=int8", "QuantizeLinear"),
    ],
)
def test_tensor_of_two_products_is_rounded_once_and_not_for_the_residual(tmp_path, flag, quantize):
    compressed(tmp_path, shared(), flag, [x_of(3)])
    graph = onnx.load(tmp_path / "compressed.onnx").graph
    assert [node.op_type for node in graph.node].count(quantize) == 1
    residual = next(node for node in graph.node if node.name == "residual")
    assert "t" in residual.input


@given(
    st.integers(1, 40),
    st.integers(1, 6),
    st.sampled_from([4, 7, 8]),
    st.integers(0, 1),
    st.integers(0, 999),
)
@settings(max_examples=60)
def test_channels_are_rounded_to_their_own_scale(inner, columns, bits, axis, seed):
    rng = np.random.default_rng(seed)
    array = rng.standard_normal((inner, columns)).astype(np.float32)
    got = on_channels(array, axis, bits, channel_scale(array, axis, bits))
    highest = 2 ** (bits - 1) - 1
    assert np.abs(got.levels).max() <= highest
    extreme = np.abs(array).max(axis=1 - axis)
    shape = (-1, 1) if axis == 0 else (1, -1)
    plain = (extreme / highest).reshape(shape)
    nearest = np.clip(np.rint(array / plain), -highest, highest) * plain
    error, bound = got.dequantized() - array, nearest - array
    total = np.square(error).sum(axis=1 - axis)
    assert (total <= np.square(bound).sum(axis=1 - axis) * 1.001 + 1e-9).all()


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("int8:dynamic,weight-bits=4", "weight-bits=4: expected 7 or 8"),
        ("int8:dynamic+rtn", "dynamic: expected no other part, got rtn"),
        ("int8:static,range=widest", "range=widest: expected one of best, mse, percentile, minmax"),
        ("int8:dynamic,range=mse", "range: unknown; expected one of embeddings, weight-bits"),
        ("int4:rtn,activations=int4", "activations=int4: expected float or int8"),
        ("int4:rtn,range=mse", "range: expected activations=int8 with it"),
        ("int4:rtn,activations=int8,convolution-bits=5", "convolution-bits=5: expected 4, 7 or 8"),
    ],
)
def test_wrong_flags_are_one_line(tmp_path, flag, reason):
    onnx.save(product(3, "MatMul"), tmp_path / "m.onnx")
    with pytest.raises(InputError) as caught:
        compress(load_model(tmp_path / "m.onnx"), Compression((flag,)))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
