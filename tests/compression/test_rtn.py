"""Round to nearest: the grid, the scale, the graph that it is written into."""

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egrl.compression.compress import Compression, compress
from graph_ir.compression.grid import GROUPS, Grid
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.load import load_model
from graph_ir.save import save_model
from tests.compression.products import product_model


def slow_rtn(weight, bits, group):
    """One group after another, in float64."""
    result = np.zeros_like(weight, np.float64)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for n in range(weight.shape[1]):
        for start in range(0, weight.shape[0], group):
            part = weight[start : start + group, n].astype(np.float64)
            extreme = part[np.argmax(np.abs(part))]
            scale = float(np.float16(extreme / low)) or 1.0
            result[start : start + group, n] = np.clip(np.rint(part / scale), low, high) * scale
    return result


@given(
    st.integers(1, 80),
    st.integers(1, 5),
    st.sampled_from([4, 8]),
    st.sampled_from(GROUPS[:3]),
    st.integers(0, 10_000),
)
def test_symmetric_grid_is_the_slow_one(inner, columns, bits, group, seed):
    weight = np.random.default_rng(seed).standard_normal((inner, columns)).astype(np.float32)
    got = Rtn().quantize(weight, Grid(bits, group))
    assert np.allclose(got.dequantized(), slow_rtn(weight, bits, group), atol=1e-5)


@given(st.integers(1, 70), st.booleans(), st.sampled_from([2, 4, 8]), st.integers(0, 999))
def test_no_entry_is_further_than_half_a_step(inner, symmetric, bits, seed):
    weight = np.random.default_rng(seed).standard_normal((inner, 3)).astype(np.float32)
    grid = Grid(bits, 32, symmetric)
    got = Rtn().quantize(weight, grid)
    steps = np.repeat(np.abs(got.scale_GN.astype(np.float32)), 32, axis=0)[:inner]
    error = np.abs(got.dequantized() - weight)
    # The positive end of a symmetric grid is a step shorter; a zero point is rounded as well.
    assert (error <= steps * (1.01 if symmetric else 1.51)).all()
    assert np.median(error / steps) <= 0.5


def test_group_of_zeros_stays_zero():
    got = Rtn().quantize(np.zeros((64, 2), np.float32), Grid())
    assert not got.dequantized().any()
    assert (got.scale_GN == 1).all()


@pytest.mark.parametrize("gemm", [False, True])
@pytest.mark.parametrize("options", ["", ",symmetric=false", ",group=16", ",bits=8,group=128"])
def test_product_is_fused_and_computes_with_the_quantized_weight(tmp_path, gemm, options):
    import onnx

    onnx.save(product_model(100, 48, gemm=gemm), tmp_path / "m.onnx")
    model = load_model(tmp_path / "m.onnx")
    done = compress(model, Compression((f"int4:rtn{options}",)))
    save_model(model.graph_model, tmp_path, "c")
    session_options = ort.SessionOptions()
    session_options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    session_options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    session_options.log_severity_level = 4
    session = ort.InferenceSession(tmp_path / "c.onnx", session_options)
    fused = onnx.load(tmp_path / "fused.onnx", load_external_data=False)
    assert [n.op_type for n in fused.graph.node if n.op_type != "Add"] == ["MatMulNBits"]
    x = np.random.default_rng(1).standard_normal((4, 100)).astype(np.float32)
    source = product_model(100, 48, gemm=gemm)
    weight, bias = (onnx.numpy_helper.to_array(i) for i in source.graph.initializer)
    grid = done.details[0].record.layers[0]
    quantized = Rtn().quantize(
        np.ascontiguousarray(weight.T) if gemm else weight,
        Grid(grid.bits, grid.group, "symmetric=false" not in options),
    )
    (got,) = session.run(None, {"x": x})
    assert np.allclose(got, x @ quantized.dequantized() + bias, atol=1e-4)


def test_error_beyond_the_bound_is_refused(tmp_path):
    import onnx

    onnx.save(product_model(64, 32), tmp_path / "m.onnx")
    with pytest.raises(UnmetRequirementError, match=r"--max-error 0\.001"):
        compress(load_model(tmp_path / "m.onnx"), Compression(("int4:rtn",), max_error=1e-3))


def test_weight_that_is_not_finite_is_named(tmp_path):
    import onnx

    source = product_model(64, 32)
    weight = onnx.numpy_helper.to_array(source.graph.initializer[0]).copy()
    weight[3, 4] = np.nan
    source.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(source, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="weight of product: expected finite"):
        compress(load_model(tmp_path / "m.onnx"), Compression(("int4:rtn",)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("int5", "int5: unknown; expected one of int4, int8"),
        ("int4:nothing", "nothing: unknown method; expected one of"),
        ("int4:rtn,bits=3", "bits=3: expected one of 2, 4, 8"),
        ("int4:rtn,group=48", "group=48: expected one of 16, 32"),
        ("int4:rtn,group", "expected key=value, got 'group'"),
        ("int4:rtn,group=x", "group: expected a whole number, got 'x'"),
        ("int4:rtn,depth=2", "depth: unknown; expected one of accuracy"),
    ],
)
def test_wrong_flags_are_one_line(tmp_path, text, reason):
    import onnx

    onnx.save(product_model(64, 32), tmp_path / "m.onnx")
    with pytest.raises(InputError) as caught:
        compress(load_model(tmp_path / "m.onnx"), Compression((text,)))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
