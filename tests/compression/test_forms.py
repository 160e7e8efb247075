"""Every product is fused, whatever its form; what would be widened on every call is refused."""

import numpy as np
import onnx
import pytest
from onnx import helper

from egrl.compression.compress import Compression, compress
from graph_ir.compression.emit import emit
from graph_ir.compression.forms import check_forms
from graph_ir.compression.fusable import make_fusable
from graph_ir.compression.grid import GROUPS, Grid
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.packing import TYPES
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.opset import raise_opset
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import save_model
from runtime.profile_graph import executed_graph
from tests.compression.graphs import (
    FAST,
    PRECISE,
    compressed,
    graph_model,
    kernels_of,
    loaded,
    normal,
    outputs_of,
)
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS

INNER, COLUMNS = 64, 48
X = normal(1, (3, INNER))
W = normal(0, (INNER, COLUMNS))


def product(body: str, rank: int = 2, more=None, rows: int = 3, names: str = "y"):
    """A graph with input x `[rows, K]` (or `[1, rows, K]`) and weight W."""
    batch = "1, " * (rank - 2)
    results = ", ".join(f"float[{batch}{rows}, {COLUMNS}] {name}" for name in names.split())
    text = f"agraph (float[{batch}{rows}, {INNER}] x) => ({results}) {{ {body} }}"
    return graph_model(text, {"W": W, **(more or {})}, 18)


def rounded(weight=W, bits=4, group=32, symmetric=True):
    return Rtn().quantize(weight, Grid(bits, group, symmetric)).dequantized()


# --- products of every form -------------------------------------------------------------------


@pytest.mark.parametrize("attributes", ["", "alpha: float = 0.5", "beta: float = 0.25"])
@pytest.mark.parametrize("shape", [None, (COLUMNS,), (1, COLUMNS), (), (1,), (1, 1)])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_gemm_of_any_form_is_fused(tmp_path, attributes, shape, transposed):
    options = [text for text in (attributes, "transB: int = 1" if transposed else "") if text]
    bias = None if shape is None else normal(2, shape)
    weight = np.ascontiguousarray(W.T) if transposed else W
    body = f"y = Gemm <{', '.join(options)}> (x, W{'' if bias is None else ', b'})"
    more = {"W": weight, **({} if bias is None else {"b": bias})}
    model, kernels = compressed(tmp_path, product(body.replace("<>", ""), more=more), "int4:rtn")
    assert kernels == ["MatMulNBits"]
    alpha, beta = 0.5 if "alpha" in attributes else 1.0, 0.25 if "beta" in attributes else 1.0
    expected = X @ rounded(W * np.float32(alpha)) + (0 if bias is None else beta * bias)
    assert np.allclose(outputs_of(tmp_path, model, {"x": X})["y"], expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, COLUMNS), (3, 1)])
def test_a_gemm_whose_bias_differs_by_row_says_so(tmp_path, shape):
    proto = product("y = Gemm(x, W, b)", more={"b": normal(2, shape)})
    model = loaded(tmp_path, proto)
    (skipped,) = find_sites(model.graph_model.graph).skipped
    assert skipped.reason == f"its bias {list(shape)} is not one number a column"


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("shape", [(COLUMNS,), (1, COLUMNS), (1, 1), (1,), (3, COLUMNS), (3, 1)])
def test_what_is_added_to_a_product_does_not_keep_it_from_being_fused(
    tmp_path, rank, rows, swapped, computed, shape
):
    if shape[0] not in (1, rows, COLUMNS):
        pytest.skip("it would change the shape of the result")
    term, more = ("t", {"b": normal(2, shape)}) if computed else ("b", {"b": normal(2, shape)})
    # Where it is computed, it depends on the input, by a factor of nothing.
    more |= {"zero": np.float32(0), "axes": np.arange(rank, dtype=np.int64)}
    rest = "s = ReduceSum <keepdims: int = 0> (x, axes) n = Mul(s, zero) t = Add(b, n) "
    operands = f"{term}, p" if swapped else f"p, {term}"
    body = f"{rest if computed else ''}p = MatMul(x, W) y = Add({operands})"
    x = normal(1, (1,) * (rank - 2) + (rows, INNER))
    model, kernels = compressed(tmp_path, product(body, rank, more, rows), "int4:rtn")
    assert "MatMulNBits" in kernels
    assert "DequantizeLinear" not in kernels
    expected = x @ rounded() + more["b"]
    assert np.allclose(outputs_of(tmp_path, model, {"x": x})["y"], expected, atol=1e-4)


def test_a_residual_of_a_matrix_is_kept_apart_only_where_it_must_be(tmp_path):
    body = "r = MatMul(x, V) p = MatMul(x, W) s = Add(p, r) y = Tanh(s)"
    model, kernels = compressed(tmp_path, product(body, more={"V": W[::-1].copy()}), "int4:rtn")
    assert kernels.count("MatMulNBits") == 2
    assert make_fusable(model.graph_model.graph) == 0


def test_two_products_of_one_weight_are_both_fused(tmp_path):
    body = "y = MatMul(x, W) n = Neg(x) z = MatMul(n, W)"
    model, kernels = compressed(tmp_path, product(body, names="y z"), "int4:rtn")
    assert kernels.count("MatMulNBits") == 2
    got = outputs_of(tmp_path, model, {"x": X})
    assert np.array_equal(got["y"], -got["z"])
    assert (tmp_path / "weights.data").stat().st_size < 1.2 * 4096  # equal bytes, one page
    again = loaded(tmp_path, onnx.load(tmp_path / "outputs.onnx"))
    assert kernels_of(tmp_path, again).count("MatMulNBits") == 2


@pytest.mark.parametrize("shared", ["integers", "scales", "weight"])
def test_shared_parts_of_a_dequantized_weight_are_parted(tmp_path, shared):
    quantized = Rtn().quantize(W, Grid())
    dequantize = "DequantizeLinear <axis: int = 0, block_size: int = 32>"
    seconds = {
        "integers": f"V = {dequantize} (Q, t)",
        "scales": f"V = {dequantize} (P, s)",
        "weight": "",
    }
    weight = "U" if shared == "weight" else "V"
    body = f"""U = {dequantize} (Q, s) {seconds[shared]}
      y = MatMul(x, U) n = Neg(x) z = MatMul(n, {weight})"""
    scale = quantized.scale_GN.astype(np.float32)
    more = {"Q": int4(quantized.levels_KN), "s": scale}
    if shared == "scales":
        more["P"] = int4(quantized.levels_KN[:, ::-1])
    if shared == "integers":
        more["t"] = 2 * scale
    proto = product(body, names="y z", more=more)
    proto.opset_import[0].version = 21
    del proto.graph.initializer[0]
    model = loaded(tmp_path, proto)
    before = outputs_of(tmp_path, model, {"x": X})
    assert "MatMulNBits" not in kernels_of(tmp_path, model)
    assert make_fusable(model.graph_model.graph) >= 1
    assert kernels_of(tmp_path, model).count("MatMulNBits") == 2
    after = outputs_of(tmp_path, model, {"x": X})
    assert all(np.allclose(after[name], before[name], atol=1e-4) for name in before)


def int4(levels) -> onnx.TensorProto:
    tensor = onnx.TensorProto(data_type=onnx.TensorProto.INT4, dims=levels.shape)
    flat = np.ascontiguousarray(levels).astype(np.uint8).reshape(-1) & 15
    tensor.raw_data = (flat[0::2] | flat[1::2] << 4).tobytes()
    return tensor


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_no_extents_of_a_weight_are_a_problem(tmp_path, bits, group, symmetric):
    if bits == 2 and group in (16, 256):
        pytest.skip("no fast kernel, and no such grid")
    for inner, columns in ((16, 17), (100, 34), (257, 40)):
        weight, x = normal(0, (inner, columns)), normal(1, (2, inner))
        text = f"agraph (float[2, {inner}] x) => (float[2, {columns}] y) {{ y = MatMul(x, W) }}"
        spec = f"int4:rtn,bits={bits},group={group},symmetric={str(symmetric).lower()}"
        model, kernels = compressed(tmp_path, graph_model(text, {"W": weight}, 18), spec)
        assert kernels == ["MatMulNBits"]
        # onnxruntime's product of 2 bits is wrong unless its columns are a multiple of 4.
        used = 4 if bits == 2 and columns % 4 else bits
        expected = x @ rounded(weight, used, group, symmetric)
        assert np.allclose(outputs_of(tmp_path, model, {"x": x})["y"], expected, atol=1e-3)


def test_the_gate_refuses_a_kernel_that_is_wrong(tmp_path):
    weight = normal(0, (INNER, 18))
    text = f"agraph (float[2, {INNER}] x) => (float[2, 18] y) {{ y = MatMul(x, W) }}"
    model = loaded(tmp_path, graph_model(text, {"W": weight}, 18))
    raise_opset(model.graph_model, 25, "")
    (site,) = find_sites(model.graph_model.graph).found
    emit(site, Rtn().quantize(site.weight_KN(), Grid(2)))
    kernels_of(tmp_path, model)
    executed = executed_graph(tmp_path / "kernels.onnx", FAST)
    with pytest.raises(InputError, match="wrong for 18 columns of 2 bits"):
        check_forms(model.graph_model.graph, executed, 4, frozenset())


@pytest.mark.parametrize(
    ("body", "more", "reason"),
    [
        ("t = Transpose <perm = [1, 0]> (x) l = MatMul(V, t) y = Transpose <perm = [1, 0]> (l)",
         {"V": np.ascontiguousarray(W.T)},
         "its weight is the left factor, which no fused product takes as integers"),
        ("e = Expand(x, s) b = MatMul(e, C) y = ReduceSum <keepdims: int = 0> (b, zero)",
         {"C": normal(3, (2, INNER, COLUMNS)), "s": np.array([2, 3, INNER]), "zero": np.array([0])},
         "its weight has 3 axes"),
        ("y = com.microsoft.FusedMatMul <alpha: float = 0.5> (x, W)", {},
         "no kernel of onnxruntime takes the weight of a FusedMatMul as integers"),
        ("y = MatMul(x, W2)", {"W2": W.astype(np.float32)}, None),
    ],
)  # fmt: skip
def test_what_is_left_has_its_reason(tmp_path, body, more, reason):
    model = loaded(tmp_path, product(body, more=more))
    sites = find_sites(model.graph_model.graph)
    assert [skipped.reason for skipped in sites.skipped] == ([reason] if reason else [])
    assert len(sites.found) == (0 if reason else 1)


def test_leading_axes_of_one_are_no_obstacle(tmp_path):
    proto = product("y = MatMul(x, U)", 3, {"U": W[None]})
    model, kernels = compressed(tmp_path, proto, "int4:rtn")
    assert kernels == ["MatMulNBits"]
    got = outputs_of(tmp_path, model, {"x": X[None]})["y"]
    assert np.allclose(got, X[None] @ rounded(), atol=1e-4)


def test_a_weight_of_zeros_stays_one(tmp_path):
    model, kernels = compressed(tmp_path, product("y = MatMul(x, Z)", more={"Z": 0 * W}), "int4")
    assert kernels == ["MatMulNBits"]
    assert not outputs_of(tmp_path, model, {"x": X})["y"].any()


@pytest.mark.parametrize(
    ("factor", "reason"),
    [
        (1e-6, "expected a largest entry between 0.0001 and 65504"),
        (1e6, "expected a largest entry between 0.0001 and 65504"),
        (np.inf, "expected finite values, got NaN or infinity"),
    ],
)
def test_entries_that_no_scale_holds_are_refused(tmp_path, factor, reason):
    proto = product("y = MatMul(x, V)", more={"V": W * np.float32(factor)})
    with pytest.raises(InputError, match="weight V of n0: " + reason):
        compress(loaded(tmp_path, proto), Compression(("int4:rtn",)))


# --- the gate ---------------------------------------------------------------------------------


def slow_graph(kind: str) -> onnx.ModelProto:
    """A form that onnxruntime runs without a word, and slowly."""
    inner, columns = 256, 128
    weight = normal(5, (inner, columns))
    quantized = Rtn().quantize(weight, Grid())
    levels, scale = quantized.levels_KN, quantized.scale_GN.astype(np.float32)
    text = f"agraph (float[2, {inner}] x) => (float[2, {columns}] y) {{{{ {{}} }}}}"
    if kind == "transposed":
        body = (
            "d = DequantizeLinear <axis: int = 1, block_size: int = 32> (Q, s) "
            "t = Transpose <perm = [1, 0]> (d) y = MatMul(x, t)"
        )
        return graph_model(text.format(body), {"Q": int4(levels.T), "s": scale.T.copy()})
    if kind == "gemm":
        body = (
            "d = DequantizeLinear <axis: int = 1, block_size: int = 32> (Q, s) "
            "y = Gemm <transB: int = 1> (x, d)"
        )
        return graph_model(text.format(body), {"Q": int4(levels.T), "s": scale.T.copy()})
    bits = 8 if kind == "bytes" else 4
    blob = np.random.default_rng(0).integers(0, 255, (columns, inner // 32, 4 * bits), np.uint8)
    inputs, constants = ["x", "Q", "s"], {"Q": blob, "s": scale.T.copy()}
    if kind == "zeros":
        inputs.append("z")
        constants["z"] = np.full(scale.T.shape, 8, np.float32)
    if kind == "g_idx":
        inputs += ["", "g"]
        constants["g"] = np.arange(inner, dtype=np.int32) // 32
    model = graph_model(text.format("y = Identity(x)"), constants)
    level = 1 if kind == "bytes" else 4
    model.graph.node[0].CopyFrom(
        helper.make_node(
            "MatMulNBits", inputs, ["y"], "n0", domain="com.microsoft",
            K=inner, N=columns, bits=bits, block_size=32, accuracy_level=level,
        )
    )  # fmt: skip
    return model


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("transposed", "DequantizeLinear of the whole weight on every call"),
        ("gemm", "DequantizeLinear of the whole weight on every call"),
        ("zeros", "MatMulNBits with FLOAT zero points"),
        ("g_idx", "MatMulNBits with g_idx"),
        ("bytes", "MatMulNBits of 8 bits with accuracy 1, expected 4"),
    ],
)
def test_the_gate_refuses_slow_forms_and_notes_those_that_came(tmp_path, kind, reason):
    model = loaded(tmp_path, slow_graph(kind)).graph_model
    save_model(model, tmp_path, "m")
    executed = executed_graph(tmp_path / "m.onnx", FAST)
    with pytest.raises(InputError, match=f"weight Q of n.: .*{reason}"):
        check_forms(model.graph, executed, None, frozenset())
    forms = check_forms(model.graph, executed, None, frozenset({"Q"}))
    assert len(forms.notes) == 1
    assert reason in forms.notes[0]


def test_the_gate_refuses_an_accuracy_that_was_not_asked_for(tmp_path):
    model, _ = compressed(tmp_path, product("y = MatMul(x, W)"), "int4:rtn")
    executed = executed_graph(tmp_path / "kernels.onnx", PRECISE)
    graph = model.graph_model.graph
    with pytest.raises(InputError, match="its kernel has accuracy 1, expected 4"):
        check_forms(graph, executed, 4, frozenset())
    assert check_forms(graph, executed, 1, frozenset()).kernels == {
        "MatMulNBits of 4 bits in blocks of 32, accuracy 1": 1
    }


def test_the_gate_refuses_a_product_that_became_a_float_one(tmp_path):
    model, _ = compressed(tmp_path, product("y = MatMul(x, W)"), "int4:rtn")
    source = loaded(tmp_path, product("y = MatMul(x, W)"))
    save_model(source.graph_model, tmp_path, "float")
    executed = executed_graph(tmp_path / "float.onnx", FAST)
    with pytest.raises(InputError, match="its kernel is MatMul, which takes floats"):
        check_forms(model.graph_model.graph, executed, 4, frozenset())


def test_a_convolution_whose_result_two_nodes_read_passes_the_gate(tmp_path):
    """onnxruntime gives the bytes that it yields a name that is not ours."""
    text = """agraph (float[1, 8, 12, 12] x) => (float[1, 8, 12, 12] y) {
      c = Conv <pads = [1, 1, 1, 1]> (x, F) a = Add(c, three) r = Clip(a, low, high)
      m = Mul(c, r) y = Conv <pads = [1, 1, 1, 1]> (m, E)
    }"""
    constants = {"F": normal(0, (8, 8, 3, 3)), "E": normal(1, (8, 8, 3, 3))}
    constants |= {name: np.float32(v) for name, v in (("three", 3), ("low", 0), ("high", 6))}
    proto = graph_model(text, constants, 18)
    _, kernels = compressed(tmp_path, proto, "int8:static")
    assert kernels.count("QLinearConv") == 2


@pytest.mark.parametrize("accuracy", [1, 4])
def test_the_session_has_the_accuracy_that_was_asked_for(tmp_path, accuracy):
    from egrl.compilation import compile_model
    from runtime.execute import run_artifact
    from runtime.load import load_artifact

    onnx.save(product("y = MatMul(x, W)"), tmp_path / "m.onnx")
    out = tmp_path / "m.egrl"
    spec = f"int4:rtn,accuracy={accuracy}"
    compile_model(tmp_path / "m.onnx", out=out, compress=(spec,), placer="acts-first")
    artifact = load_artifact(out)
    assert artifact.manifest.execution.accuracy_level == accuracy
    assert artifact.manifest.passes[-1].options["accuracy"] == str(accuracy)
    executed = executed_graph(artifact.model_path("main"), artifact.manifest.execution)
    (kernel,) = executed.kernels
    assert kernel.attributes["accuracy_level"] == accuracy
    error = np.abs(run_artifact(artifact, {"x": X})["y"] - X @ rounded()).max()
    assert error < 1e-4 if accuracy == 1 else 1e-4 < error < 0.5


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("accuracy=2", "accuracy=2: expected 1 or 4"),
        ("accuracy=1,bits=8", "accuracy=1: expected 4 with bits=8"),
        ("accuracy=1,bits=2", "accuracy=1: expected 4 with bits=2"),
        ("embeddings=3", "embeddings=3: expected one of same, float, 4, 8"),
    ],
)
def test_options_without_a_fast_kernel_are_refused(tmp_path, options, reason):
    with pytest.raises(InputError, match=reason):
        compress(loaded(tmp_path, product("y = MatMul(x, W)")), Compression((f"int4,{options}",)))


@pytest.mark.parametrize("name", TINY_MODELS)
def test_every_small_model_passes_the_gate(tmp_path, name):
    """Ops of all exporters: quantized or left with a reason, and executed by fast kernels."""
    onnx.save(TINY_MODELS[name](), tmp_path / "m.onnx")
    model = load_model(tmp_path / "m.onnx", TINY_DIMS.get(name, {}))
    run_lossless(model.graph_model)
    done = compress(model, Compression(("int4:rtn",)))
    record = done.details[0].record
    assert sum(record.kernels.values()) >= len(record.layers)
    assert all(layer.reason for layer in record.skipped)
    assert done.error < 0.1


def test_the_types_of_the_grid_are_those_of_onnx():
    for (bits, symmetric), (dtype, _) in TYPES.items():
        assert dtype.bitwidth == bits
        assert dtype.is_signed() == symmetric
