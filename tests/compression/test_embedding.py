"""Embeddings: looked up in integers, tied ones stored once, no table widened on every call."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_ir.compression.embedding import emit_table, find_tables
from graph_ir.compression.emit import emit
from graph_ir.compression.grid import Grid
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.opset import raise_opset
from graph_ir.save import save_model
from graph_ir.workload import TensorKind
from runtime.check_plan import check_plan
from tests.compression.graphs import (
    compressed,
    graph_model,
    kernels_of,
    loaded,
    normal,
    outputs_of,
)

ROWS, WIDTH = 2048, 40
LOOK_UP = "agraph (int64[{}] ids) => (float[{}] y) {{ y = Gather(table, ids) }}"
TIED = """agraph (int64[1, 5] ids) => (float[5, 2048] logits, float[1, 5, 40] rows) {{
  rows = Gather(table, ids)
  act = Tanh(rows)
  flat = Reshape(act, shape)
  {}
}}"""


def table_model(ids="2, 3", opset=18):
    return graph_model(
        LOOK_UP.format(ids, f"{ids}, {WIDTH}"), {"table": normal(0, (ROWS, WIDTH))}, opset
    )


def tied_model(product="logits = Gemm <transB: int = 1> (flat, table)", **more):
    constants = {"table": normal(0, (ROWS, WIDTH)), "shape": np.array([5, WIDTH])}
    return graph_model(TIED.format(product), {**constants, **more}, 18)


def integers_of(model):
    """Names of packed constants."""
    constants = model.graph_model.graph.initializers.values()
    return [value.name for value in constants if value.dtype.bitwidth == 4]


@given(
    st.integers(16, 70),
    st.sampled_from([2, 4, 8]),
    st.sampled_from([32, 64]),
    st.booleans(),
    st.sampled_from([(1,), (2, 3), (1, 1, 2)]),
    st.integers(0, 999),
)
def test_rows_are_those_of_the_quantized_table(
    tmp_path_factory, width, bits, group, symmetric, shape, seed
):
    folder = tmp_path_factory.mktemp("rows")
    rows = -(-(1 << 16) // width)
    weight = normal(seed, (rows, width))
    text = LOOK_UP.format(str(list(shape))[1:-1], f"{str(list(shape))[1:-1]}, {width}")
    model = loaded(folder, graph_model(text, {"table": weight}, 18))
    raise_opset(model.graph_model, 25, "")
    (table,) = find_tables(model.graph_model.graph, ()).found
    quantized = Rtn().quantize(table.weight_KN(), Grid(bits, group, symmetric))
    emit_table(table, quantized)
    ids = np.random.default_rng(seed).integers(-rows, rows, shape)
    got = outputs_of(folder, model, {"ids": ids})["y"]
    assert np.array_equal(got, quantized.dequantized().T[ids])
    # Neither a Cast nor a DequantizeLinear of the table is left: only rows are touched.
    kernels = kernels_of(folder, model)
    assert kernels.count("Gather") == (2 if symmetric else 3)
    assert set(kernels) == {"Gather", "Cast", "DequantizeLinear"}
    assert kernels.count("Cast") == 1


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("table", "logits = Gemm <transB: int = 1> (flat, table)"),
        ("turned", "turned = Transpose <perm = [1, 0]> (table) logits = MatMul(flat, turned)"),
        ("copy", "logits = MatMul(flat, copy)"),
    ],
)
def test_a_tied_table_is_stored_once_and_serves_both(tmp_path, name, product):
    stored_twice = np.ascontiguousarray(normal(0, (ROWS, WIDTH)).T)
    more = {"copy": stored_twice} if name == "copy" else {}
    model, kernels = compressed(tmp_path, tied_model(product, **more), "int4:rtn")
    assert kernels.count("MatMulNBits") == 1
    assert kernels.count("Cast") == 1  # of picked scales; that of the table is folded
    assert integers_of(model) == [f"{name}.q"]
    large = [v for v in model.graph_model.graph.initializers.values() if v.const_value.size > 1000]
    assert sum(v.const_value.nbytes for v in large) * 8 <= ROWS * WIDTH * (4 + 16 * 2 / WIDTH) + 64
    quantized = Rtn().quantize(np.ascontiguousarray(normal(0, (ROWS, WIDTH)).T), Grid(4, 32))
    ids = np.array([[3, 0, 7, 2047, 7]])
    got = outputs_of(tmp_path, model, {"ids": ids})
    rows = quantized.dequantized().T[ids]
    assert np.array_equal(got["rows"], rows)
    assert np.allclose(got["logits"], np.tanh(rows[0]) @ quantized.dequantized(), atol=1e-4)


def test_the_workload_has_one_packed_tensor_that_two_ops_read(tmp_path):
    model, _ = compressed(tmp_path, tied_model(), "int4:rtn")
    workload = lower(model).workload
    (table,) = [
        at
        for at, tensor in enumerate(workload.tensors)
        if tensor.kind is TensorKind.WEIGHT and tensor.size_bytes > ROWS * WIDTH // 4
    ]
    assert workload.tensors[table].data_type == "int4"
    assert workload.tensors[table].size_bytes == ROWS * WIDTH // 2
    traffic = [o.traffic_bytes for op in workload.ops for o in op.operands if o.tensor == table]
    assert sorted(traffic) == [5 * WIDTH // 2, ROWS * WIDTH // 2]


@pytest.mark.parametrize("model", [table_model(), tied_model()], ids=["table", "tied"])
def test_it_loads_back_and_compresses_to_nothing_more(tmp_path, model):
    first, kernels = compressed(tmp_path, model, "int4:rtn")
    save_model(first.graph_model, tmp_path, "again")
    proto = onnx.load(tmp_path / "again.onnx")
    second, again = compressed(tmp_path, proto, "int4:rtn")
    assert again == kernels
    assert integers_of(second) == integers_of(first)


def test_a_plan_of_a_tied_table_is_executed(tmp_path):
    from egrl.compilation import compile_model
    from runtime.load import verify_artifact

    onnx.save(tied_model(), tmp_path / "m.onnx")
    compile_model(
        tmp_path / "m.onnx",
        out=tmp_path / "m.egrl",
        compress=("int4:rtn",),
        placer="acts-first",
    )
    artifact = verify_artifact(tmp_path / "m.egrl")
    (record,) = artifact.manifest.compression["main"]
    assert record.notes == ["n3: tied to n0, stored once"]
    assert record.kernels["MatMulNBits of 4 bits in blocks of 32, accuracy 4"] == 1
    assert (tmp_path / "m.egrl" / "weights.data").stat().st_size < ROWS * WIDTH
    ids = np.array([[1, 2, 3, 4, 2047]])
    result = check_plan(artifact.model_path("main"), artifact.plans["main"], {"ids": ids})
    assert result.sound


def test_embeddings_follow_their_option(tmp_path):
    for option, dtype in (("", "INT4"), (",embeddings=8", "INT8"), (",embeddings=float", "FLOAT")):
        model, _ = compressed(tmp_path, table_model(), f"int4:rtn{option}")
        found = {v.dtype.name for v in model.graph_model.graph.initializers.values()}
        assert dtype in found
        assert (dtype == "FLOAT") == ("FLOAT" in found)
    model, _ = compressed(tmp_path, table_model(), "int4:rtn,bits=2")
    assert "INT4" in {v.dtype.name for v in model.graph_model.graph.initializers.values()}


def test_tables_that_stay_say_why(tmp_path):
    text = """agraph (int64[2] ids, float[2, 40] x) => (float[2048, 2] a, float[2, 64, 32] b) {
      a = Gather <axis: int = 1> (table, ids)
      b = Gather(cube, ids)
    }"""
    constants = {"table": normal(0, (ROWS, WIDTH)), "cube": normal(1, (64, 64, 32))}
    model = loaded(tmp_path, graph_model(text, constants, 18))
    tables = find_tables(model.graph_model.graph, ())
    assert not tables.found
    assert [(skipped.name, skipped.reason) for skipped in tables.skipped] == [
        ("n0", "it picks columns of its table, or rows that are constant"),
        ("n1", "its table has 3 axes"),
    ]


def test_two_gathers_share_one_table(tmp_path):
    text = """agraph (int64[2] a, int64[3] b) => (float[2, 40] x, float[3, 40] y) {
      x = Gather(table, a)
      y = Gather(table, b)
    }"""
    proto = graph_model(text, {"table": normal(0, (ROWS, WIDTH))}, 18)
    model, kernels = compressed(tmp_path, proto, "int4:rtn")
    assert kernels.count("DequantizeLinear") == 2
    feeds = {"a": np.array([5, 6]), "b": np.array([7, 6, 5])}
    got = outputs_of(tmp_path, model, feeds)
    assert np.array_equal(got["x"][0], got["y"][2])
    assert np.array_equal(got["x"][1], got["y"][1])


def test_a_shared_and_tied_weight_is_quantized_once(tmp_path):
    text = TIED.format(
        "logits = Gemm <transB: int = 1> (flat, table) "
        "other = Neg(flat) second = Gemm <transB: int = 1> (other, table)"
    ).replace("logits,", "logits, float[5, 2048] second,")
    constants = {"table": normal(0, (ROWS, WIDTH)), "shape": np.array([5, WIDTH])}
    model = loaded(tmp_path, graph_model(text, constants, 18))
    raise_opset(model.graph_model, 21, "")
    (site,) = find_sites(model.graph_model.graph).found
    assert len(site.shared) == 1
    assert len(site.tables) == 1
    emit(site, Rtn().quantize(site.weight_KN(), Grid()))
    assert kernels_of(tmp_path, model).count("MatMulNBits") == 2
    got = outputs_of(tmp_path, model, {"ids": np.array([[3, 0, 7, 2047, 7]])})
    assert np.array_equal(got["logits"], -got["second"])
    # Two constants of equal bytes, once in the file.
    assert (tmp_path / "weights.data").stat().st_size < ROWS * WIDTH
    assert load_model(tmp_path / "kernels.onnx")
