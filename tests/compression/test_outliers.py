"""EasyQuant's entries beyond n sigma are exact, in any runtime, and their bits are counted."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from egrl.compression.compress import Compression, compress
from graph_ir.compression.entries import FARTHEST, Entries, beyond
from graph_ir.compression.grid import Grid
from graph_ir.compression.methods.easyquant import EasyQuant
from graph_ir.errors import InputError
from graph_ir.save import save_model
from tests.compression.graphs import graph_model, kernels_of, loaded, normal, outputs_of


def heavy(inner: int, columns: int, seed: int = 0) -> np.ndarray:
    weight_KN = 0.02 * normal(seed, (inner, columns))
    rng = np.random.default_rng(seed)
    at = rng.permutation(inner * columns)[: inner * columns // 100]
    weight_KN.reshape(-1)[at] *= 10
    # Values that float16 holds, so that "exactly" can be asked for.
    return weight_KN.astype(np.float16).astype(np.float32)


@given(st.lists(st.integers(0, 40 * 10_000 - 1), unique=True, max_size=12))
def test_stored_list_leads_back_to_the_entries(flat: list[int]) -> None:
    columns = 10_000
    at_P = np.array(flat, np.int64)
    value_P = np.arange(1, len(flat) + 1).astype(np.float16)
    entries = Entries(at_P // columns, at_P % columns, value_P)
    distance, value = entries.stored(columns)
    found_at = np.cumsum(distance.astype(np.int64))
    assert np.unique(found_at).size == len(found_at)  # ScatterElements must not meet one twice
    kept = value != 0
    assert sorted(zip(found_at[kept], value[kept], strict=True)) == sorted(
        zip(at_P, value_P, strict=True)
    )
    assert entries.stored_bits(columns) == 32 * len(distance)
    assert len(distance) <= len(flat) + 40 * columns // FARTHEST + 1


@pytest.mark.parametrize("symmetric", [True, False])
def test_entries_are_exact_and_others_are_on_the_grid(symmetric: bool) -> None:
    weight_KN = heavy(96, 700)
    grid = Grid(4, 32, symmetric)
    plain = EasyQuant().quantize(weight_KN, grid)
    quantized = EasyQuant(outliers=3.0).quantize(weight_KN, grid)
    far_KN = np.abs(weight_KN - weight_KN.mean()) > 3 * weight_KN.std()
    assert 300 < far_KN.sum() < 1500
    got_KN = quantized.dequantized()
    assert np.array_equal(got_KN[far_KN], weight_KN[far_KN])
    rest = EasyQuant().quantize(np.where(far_KN, 0, weight_KN).astype(np.float32), grid)
    assert np.array_equal(got_KN[~far_KN], rest.dequantized()[~far_KN])
    assert (
        np.square(got_KN - weight_KN).sum() < 0.5 * np.square(plain.dequantized() - weight_KN).sum()
    )
    assert quantized.stored_bits == plain.stored_bits + 32 * int(far_KN.sum())
    part = quantized.columns(500, 650)
    assert np.array_equal(part.dequantized(), got_KN[:, 500:650])


def proto(weight_KN: np.ndarray, op: str) -> onnx.ModelProto:
    inner, columns = weight_KN.shape
    constants = {"w": weight_KN, "b": normal(3, (columns,))}
    if op == "Gemm":
        text = (
            f"agraph (float[4,{inner}] x) => (float[4,{columns}] y) "
            "{ y = Gemm <alpha = 0.5> (x, w, b) }"
        )
        return graph_model(text, constants)
    text = (
        f"agraph (float[2,4,{inner}] x) => (float[2,4,{columns}] y) "
        "{ p = MatMul (x, w) y = Add (p, b) }"
    )
    return graph_model(text, constants)


@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
def test_executed_model_computes_with_the_exact_entries(tmp_path: Path, op: str) -> None:
    weight_KN = heavy(64, 48, seed=4)
    model = loaded(tmp_path, proto(weight_KN, op))
    done = compress(model, Compression(("int4:easyquant,outliers=3,accuracy=1",)))
    layer = done.details[0].record.layers[0]
    factor = 0.5 if op == "Gemm" else 1.0
    feeds = {"x": normal(9, (4, 64) if op == "Gemm" else (2, 4, 64))}
    far_KN = np.abs(weight_KN - weight_KN.mean()) > 3 * weight_KN.std()
    assert layer.stored_bits == 64 * 48 * 4 + 2 * 48 * 16 + 32 * int(far_KN.sum())
    save_model(model.graph_model, tmp_path, "out")
    kernels = kernels_of(tmp_path, model)
    assert "MatMulNBits" in kernels
    assert not {"CumSum", "ScatterElements", "ConstantOfShape"} & set(kernels)  # folded
    # Entries alone: with all else zero the product is theirs.
    only = beyond(factor * weight_KN, 3.0)
    sparse_KN = np.zeros_like(weight_KN)
    sparse_KN[only.row_P, only.column_P] = only.value_P
    assert np.array_equal(sparse_KN != 0, far_KN)
    got = outputs_of(tmp_path, model, feeds)["y"]
    reference = ReferenceEvaluator(str(tmp_path / "out.onnx")).run(None, feeds)[0]
    np.testing.assert_allclose(got, reference, rtol=1e-3, atol=1e-4)
    bias = normal(3, (48,))
    wanted = feeds["x"] @ (factor * weight_KN) + bias
    rough = feeds["x"] @ EasyQuant().quantize(factor * weight_KN, Grid()).dequantized() + bias
    assert np.abs(got - wanted).mean() < 0.7 * np.abs(rough - wanted).mean()


def test_bad_option_is_refused() -> None:
    with pytest.raises(InputError, match="outliers=1: expected 0"):
        EasyQuant(outliers=1.0)
