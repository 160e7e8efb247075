"""Convolutions of bytes: the forms, the integers, what lies between them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from graph_ir.errors import InputError
from graph_ir.lower import lower
from tests.compression.convolutions import (
    compressed,
    constants_of,
    executed_ops,
    network,
    one_convolution,
    residual_network,
    run,
    source_outputs,
    weight,
)


def samples(shape, count=4, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]


def integer_convolution(x, constants, groups, y_scale, y_zero):
    """Direct sums of the stored integers in int64, rounded to the grid of the result."""
    x_scale, x_zero = constants["x.scale"], int(constants["x.zero"])
    levels = np.clip(np.rint(x / x_scale) + x_zero, 0, 255).astype(np.int64) - x_zero
    w = constants["w.q"].astype(np.int64)
    padded = np.pad(levels, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out_channels, per_group = w.shape[0], w.shape[1]
    result = np.zeros((1, out_channels, *x.shape[2:]), np.int64)
    for channel in range(out_channels):
        first = channel // (out_channels // groups) * per_group
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                window = padded[0, first : first + per_group, row : row + 3, column : column + 3]
                result[0, channel, row, column] = (window * w[channel]).sum()
    bias = constants.get("conv.bias.q")
    if bias is not None:
        result += bias.astype(np.int64)[None, :, None, None]
    factor = x_scale * constants["w.scale"].astype(np.float64)[None, :, None, None]
    return (np.clip(np.rint(result * factor / y_scale) + y_zero, 0, 255) - y_zero) * y_scale


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("clamp", ["", "Relu", "Clip"])
@pytest.mark.parametrize("flag", ["int8:static", "int4:rtn,activations=int8"])
def test_convolution_is_one_integer_kernel_and_its_integers_are_right(
    tmp_path, groups, clamp, flag
):
    proto = one_convolution(groups=groups, clamp=clamp)
    calibration = samples([1, 8, 9, 9])
    compressed(tmp_path, proto, flag, calibration)
    path = tmp_path / "compressed.onnx"
    ops = executed_ops(path)
    assert ops.count("QLinearConv") == 1
    assert set(ops) <= {"QLinearConv", "QuantizeLinear", "DequantizeLinear", "Transpose"}
    stored = constants_of(path)
    name = "int4" if flag.startswith("int4") else "int8"
    assert stored["w.q"][1] == (TensorProto.INT4 if name == "int4" else TensorProto.INT8)
    constants = {key: array for key, (array, _) in stored.items()}
    scale, zero = next(
        (float(constants[f"{value}.scale"]), int(constants[f"{value}.zero"]))
        for value in ("y.exact", "c", "y")
        if f"{value}.scale" in constants
    )
    expected = integer_convolution(calibration[0], constants, groups, scale, zero)
    steps = np.abs(run(path, calibration[0]) - expected) / scale
    # Halves round differently in the kernel's float32: a step, rarely.
    assert steps.max() < 1.01
    assert (steps > 0.01).mean() < 0.01


def test_result_is_near_the_source(tmp_path):
    calibration = samples([1, 8, 9, 9])
    proto = one_convolution()
    for flag, bound in (("int8:static", 0.02), ("int4:rtn,activations=int8", 0.15)):
        compressed(tmp_path, proto, flag, calibration)
        expected = source_outputs(proto, calibration[0])
        got = run(tmp_path / "compressed.onnx", calibration[0])
        assert np.linalg.norm(got - expected) < bound * np.linalg.norm(expected)


def test_clamp_that_the_range_does_not_imply_stays(tmp_path):
    # The convolution's result is read by two, so its range is not the clamp's.
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Add", ["c", "r"], ["y"], "add"),
    ]
    proto = network(nodes, {"w": weight(rng, 4, 4, 1, 1)}, [1, 4, 6, 6], [1, 4, 6, 6])
    calibration = samples([1, 4, 6, 6])
    compressed(tmp_path, proto, "int8:static", calibration)
    assert "Relu" in [node.op_type for node in onnx.load(tmp_path / "compressed.onnx").graph.node]
    got, expected = run(tmp_path / "compressed.onnx", calibration[0]), None
    expected = source_outputs(proto, calibration[0])
    assert np.linalg.norm(got - expected) < 0.02 * np.linalg.norm(expected)


def test_residual_block_is_bytes_from_end_to_end(tmp_path):
    proto, calibration = residual_network(), samples([1, 3, 12, 12])
    model, done = compressed(tmp_path, proto, "int8:static", calibration)
    path = tmp_path / "compressed.onnx"
    ops = executed_ops(path)
    assert ops.count("QLinearConv") == 3
    assert ops.count("QLinearAdd") == 1
    assert ops.count("MatMulIntegerToFloat") == 1
    assert not {"Conv", "Gemm", "MatMul", "Clip", "Relu", "DequantizeLinear"} & set(ops)
    tensors = lower(model).workload.tensors
    activations = [t.data_type for t in tensors if t.kind.value == "activation"]
    assert activations
    assert set(activations) == {"int8"}
    assert done.error is not None
    assert done.error < 0.05
    assert [layer.name for layer in done.details[0].record.layers] == [
        "stem",
        "depthwise",
        "project",
        "classifier",
    ]


def test_stored_in_four_bits_and_seen_so_by_the_simulator(tmp_path):
    calibration = samples([1, 3, 12, 12])
    model, done = compressed(tmp_path, residual_network(), "int4:rtn,activations=int8", calibration)
    work = [work for op in lower(model).workload.ops for work in op.mac_work]
    assert {(w.left_type, w.right_type) for w in work} == {("int8", "int4")}
    sizes = {t.name: t.size_bytes for t in lower(model).workload.tensors}
    assert sizes["w3.q"] == 16 * 16 // 2
    assert {layer.bits for layer in done.details[0].record.layers} == {4}


def test_kept_mean(tmp_path):
    # Four bits of nine taps each shift the channels' means; the bias takes the shift off.
    proto = one_convolution(groups=8, seed=3)
    calibration = [np.abs(x) for x in samples([1, 8, 9, 9], 8)]
    compressed(tmp_path, proto, "int4:rtn,activations=int8", calibration)
    stored = constants_of(tmp_path / "compressed.onnx")
    means = []
    for x in calibration:
        expected = source_outputs(proto, x)[:, :, 1:-1, 1:-1]
        got = run(tmp_path / "compressed.onnx", x)[:, :, 1:-1, 1:-1]
        means.append((got - expected).mean(axis=(0, 2, 3)))
    shift = np.abs(np.mean(means, axis=0)).max()
    exact = {key: array for key, (array, _) in stored.items()}
    weights = exact["w.q"].astype(np.float32) * exact["w.scale"].reshape(-1, 1, 1, 1)
    source = onnx.numpy_helper.to_array(proto.graph.initializer[0])
    mean = np.mean([x.mean() for x in calibration])
    without = np.abs((weights - source).sum(axis=(1, 2, 3)) * mean).max()
    assert shift < 0.25 * without


def test_large_bias_stays_within_32_bits(tmp_path):
    proto = one_convolution(seed=2)
    for tensor in proto.graph.initializer:
        if tensor.name == "w":
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(np.full((16, 8, 3, 3), 1e-9, np.float32), "w")
            )
    calibration = samples([1, 8, 9, 9])
    compressed(tmp_path, proto, "int8:static", calibration)
    got = run(tmp_path / "compressed.onnx", calibration[0])
    expected = source_outputs(proto, calibration[0])
    assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max()


def test_addition_behind_becomes_the_bias(tmp_path):
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("Add", ["c", "b"], ["y"], "add"),
    ]
    constants = {"w": weight(rng, 4, 4, 1, 1), "b": weight(rng, 1, 4, 1, 1)}
    proto = network(nodes, constants, [1, 4, 6, 6], [1, 4, 6, 6])
    calibration = samples([1, 4, 6, 6])
    compressed(tmp_path, proto, "int8:static", calibration)
    graph = onnx.load(tmp_path / "compressed.onnx").graph
    assert "Add" not in [node.op_type for node in graph.node]
    assert [value.name for value in graph.output] == ["y"]
    got = run(tmp_path / "compressed.onnx", calibration[0])
    expected = source_outputs(proto, calibration[0])
    assert np.linalg.norm(got - expected) < 0.02 * np.linalg.norm(expected)


def test_transposed_convolution_is_named_and_stays(tmp_path):
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("ConvTranspose", ["x", "w"], ["y"], "up")]
    proto = network(nodes, {"w": weight(rng, 4, 4, 1, 1)}, [1, 4, 6, 6], [1, 4, 6, 6])
    _, done = compressed(tmp_path, proto, "int8:static", samples([1, 4, 6, 6]))
    (skipped,) = done.details[0].record.skipped
    assert (skipped.name, skipped.reason) == (
        "up",
        "onnxruntime has no transposed convolution of integers",
    )


def test_weight_that_is_not_finite_is_named(tmp_path):
    proto = one_convolution()
    array = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    array[0, 0, 0, 0] = np.inf
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array, "w"))
    with pytest.raises(InputError, match="finite") as caught:
        compressed(tmp_path, proto, "int8:static", samples([1, 8, 9, 9]))
    assert "\n" not in str(caught.value)


def test_same_seed_same_bytes(tmp_path):
    made = []
    for at in range(2):
        folder = tmp_path / str(at)
        folder.mkdir()
        compressed(folder, residual_network(), "int4:rtn,activations=int8", seed=7)
        made.append([p.read_bytes() for p in sorted(folder.glob("compressed*"))])
    assert made[0] == made[1]


def test_sensitive_convolutions_are_found_by_measuring(tmp_path):
    # One convolution whose rounding matters: its result is scaled up a hundred times.
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["quiet"], "quiet"),
        helper.make_node("Conv", ["x", "w2"], ["c"], "loud"),
        helper.make_node("Mul", ["c", "hundred"], ["loud_out"], "scale"),
        helper.make_node("Sub", ["loud_out", "quiet"], ["y"], "sub"),
    ]
    constants = {"w1": weight(rng, 8, 4, 1, 1), "w2": weight(rng, 8, 4, 1, 1)}
    constants["hundred"] = np.float32(100)
    proto = network(nodes, constants, [1, 4, 6, 6], [1, 8, 6, 6])
    flag = "int4:rtn,activations=int8,range=minmax,sensitive="
    _, done = compressed(tmp_path, proto, f"{flag}0.5", samples([1, 4, 6, 6]))
    bits = {layer.name: layer.bits for layer in done.details[0].record.layers}
    assert bits == {"quiet": 4, "loud": 8}
    _, less = compressed(tmp_path, proto, f"{flag}0.4", samples([1, 4, 6, 6]))
    assert {layer.bits for layer in less.details[0].record.layers} == {4}
    assert done.error is not None
    assert less.error is not None
    assert done.error < 0.5 * less.error


def test_parts_of_bytes_are_bytes_also_where_one_is_not_read(tmp_path):
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c"], "first"),
        helper.make_node("Split", ["c"], ["used", "unused"], "split", axis=1),
        helper.make_node("Reshape", ["used", "shape"], ["r"], "reshape"),
        helper.make_node("Conv", ["r", "w2"], ["y"], "second"),
    ]
    constants = {"w1": weight(rng, 8, 4, 1, 1), "w2": weight(rng, 8, 4, 1, 1)}
    constants["shape"] = np.array([1, 4, 36, 1])
    proto = network(nodes, constants, [1, 4, 6, 6], [1, 8, 36, 1], opset=13)
    calibration = samples([1, 4, 6, 6])
    compressed(tmp_path, proto, "int8:static", calibration)
    ops = executed_ops(tmp_path / "compressed.onnx")
    assert ops.count("QLinearConv") == 2
    assert (ops.count("QuantizeLinear"), ops.count("DequantizeLinear")) == (1, 1)
    got = run(tmp_path / "compressed.onnx", calibration[0])
    expected = source_outputs(proto, calibration[0])
    assert np.linalg.norm(got - expected) < 0.03 * np.linalg.norm(expected)
