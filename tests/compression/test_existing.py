"""Models that come quantized: bytes are kept exactly, kernels are kept, nothing is silent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egrl.compression.compress import Compression, compress
from graph_ir.compression.existing import as_bytes
from graph_ir.lower import lower
from graph_ir.workload import TensorKind
from tests.compression.graphs import (
    compressed,
    graph_model,
    kernels_of,
    loaded,
    normal,
    outputs_of,
)
from tests.compression.test_forms import int4, slow_graph

INNER, COLUMNS, ROWS = 96, 40, 1024


def bytes_and_scale(seed: int, inner: int, columns: int, *, whole: bool = False):
    """What a quantizer writes: extremes of a column (or of all) at 127."""
    weight = normal(seed, (inner, columns)) * np.float32(0.05)
    extreme = np.abs(weight).max(axis=None if whole else 0)
    scale = np.broadcast_to(np.float32(extreme / np.float32(127)), (columns,)).copy()
    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale


@given(st.integers(1, 200), st.integers(1, 60), st.booleans(), st.integers(0, 9999))
def test_bytes_are_found_again(inner, columns, whole, seed):
    levels, scale = bytes_and_scale(seed, inner, columns, whole=whole)
    weight = levels.astype(np.float32) * scale
    found = as_bytes(weight)
    assert found is not None
    assert np.array_equal(found.levels_KN.astype(np.float32) * found.scale_N, weight)


@given(st.integers(8, 200), st.integers(1, 60), st.integers(0, 9999))
def test_other_weights_are_not_taken_for_bytes(inner, columns, seed):
    weight = normal(seed, (inner, columns))
    assert as_bytes(weight) is None
    levels, scale = bytes_and_scale(seed, inner, columns)
    nearly = levels.astype(np.float32) * scale
    nearly[inner // 2, columns // 2] = np.nextafter(np.float32(nearly[inner // 2, 0]), 9)
    changed = not np.array_equal(nearly, levels.astype(np.float32) * scale)
    assert not changed or as_bytes(nearly) is None


def byte_model(seed: int = 0):
    """Embedding, product and head as `Cast -> Mul`, as exporters write int8 weights."""
    table, rows = bytes_and_scale(seed, INNER, ROWS)
    weight, columns = bytes_and_scale(seed + 1, INNER, COLUMNS)
    text = f"""agraph (int64[1, 3] ids) => (float[1, 3, {COLUMNS}] y, float[1, 3, {INNER}] e) {{
      tf = Cast <to: int = 1> (table) t = Mul(tf, rows)
      wf = Cast <to: int = 1> (weight) w = Mul(wf, columns)
      e = Gather(t, ids) h = Tanh(e) y = MatMul(h, w)
    }}"""
    constants = {
        "table": np.ascontiguousarray(table.T),
        "rows": rows[:, None],
        "weight": weight,
        "columns": columns[None],
    }
    return graph_model(text, constants, 17)


def test_int8_keeps_bytes_exactly(tmp_path):
    before = outputs_of(tmp_path, loaded(tmp_path, byte_model()), {"ids": np.array([[1, 2, 1023]])})
    model, kernels = compressed(tmp_path, byte_model(), "int8:rtn")
    assert kernels.count("MatMulNBits") == 1
    after = outputs_of(tmp_path, model, {"ids": np.array([[1, 2, 1023]])})
    assert np.array_equal(after["e"], before["e"])
    assert np.allclose(after["y"], before["y"], atol=1e-5)
    found = {v.name: v.dtype.name for v in model.graph_model.graph.initializers.values()}
    assert found["w.q"] == found["t.q"] == "INT8"


def test_its_record_says_that_nothing_was_lost(tmp_path):
    done = compress(loaded(tmp_path, byte_model()), Compression(("int8:rtn",)))
    record = done.details[0].record
    assert [(layer.name, layer.bits, layer.error) for layer in record.layers] == [
        ("n4", 8, 0.0),
        ("n6", 8, 0.0),
    ]
    assert not record.skipped
    assert done.error < 0.02  # of activations as bytes alone


def test_int4_of_bytes_is_what_was_asked_for_and_measured(tmp_path):
    done = compress(loaded(tmp_path, byte_model()), Compression(("int4:rtn",)))
    record = done.details[0].record
    assert [layer.bits for layer in record.layers] == [4, 4]
    assert all(0.01 < layer.error < 0.2 for layer in record.layers)


def quantized_model():
    """A blocked DequantizeLinear as another tool writes it, and a float product beside it."""
    levels = np.random.default_rng(0).integers(-8, 8, (INNER, COLUMNS))
    text = f"""agraph (float[2, {INNER}] x) => (float[2, {COLUMNS}] y, float[2, {COLUMNS}] z) {{
      d = DequantizeLinear <axis: int = 0, block_size: int = 32> (Q, s)
      y = MatMul(x, d) z = MatMul(x, W)
    }}"""
    constants = {
        "Q": int4(levels),
        "s": np.abs(normal(1, (INNER // 32, COLUMNS))),
        "W": normal(2, (INNER, COLUMNS)),
    }
    return graph_model(text, constants)


def test_a_quantized_weight_stays_as_it_came(tmp_path):
    x = normal(3, (2, INNER))
    before = outputs_of(tmp_path, loaded(tmp_path, quantized_model()), {"x": x})
    model = loaded(tmp_path, quantized_model())
    record = compress(model, Compression(("int4:rtn",))).details[0].record
    assert [(skipped.name, skipped.reason) for skipped in record.skipped] == [
        ("n1", "its weight is quantized already")
    ]
    assert record.kernels == {"MatMulNBits of 4 bits in blocks of 32, accuracy 4": 2}
    assert np.array_equal(outputs_of(tmp_path, model, {"x": x})["y"], before["y"])


@pytest.mark.parametrize("kind", ["g_idx", "zeros"])
def test_a_slow_kernel_that_came_is_noted(tmp_path, kind):
    model = loaded(tmp_path, slow_graph(kind))
    record = compress(model, Compression(("int4:rtn",))).details[0].record
    assert record.skipped[0].reason == "its weight is quantized already (MatMulNBits)"
    assert len(record.notes) == 1
    assert record.notes[0].startswith("n0: weight Q came in a slow form: MatMulNBits with ")


def test_the_workload_counts_the_packed_weight_of_a_kernel_that_came(tmp_path):
    workload = lower(loaded(tmp_path, slow_graph("plain"))).workload
    weights = {t.name: t for t in workload.tensors if t.kind is TensorKind.WEIGHT}
    assert weights["Q"].size_bytes == 256 * 128 // 2
    (op,) = workload.ops
    assert op.mac_work[0].right_type == "int4"


def test_integer_activations_are_left_as_they_came(tmp_path):
    levels = np.random.default_rng(0).integers(-127, 127, (INNER, COLUMNS), np.int8)
    text = f"""agraph (float[2, {INNER}] x) => (float[2, {COLUMNS}] y) {{
      q = QuantizeLinear(x, sx, zx) a = DequantizeLinear(q, sx, zx)
      d = DequantizeLinear(W, sw, zw) p = MatMul(a, d)
      r = QuantizeLinear(p, sy, zx) y = DequantizeLinear(r, sy, zx)
    }}"""
    constants = {
        "W": levels,
        "sx": np.float32(0.02),
        "zx": np.uint8(128),
        "sw": np.float32(0.01),
        "zw": np.int8(0),
        "sy": np.float32(0.1),
    }
    _, kernels = compressed(tmp_path, graph_model(text, constants), "int8:rtn")
    assert "QLinearMatMul" in kernels
    assert kernels == kernels_of(tmp_path, loaded(tmp_path, graph_model(text, constants)))
