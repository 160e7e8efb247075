"""EasyQuant against a slow twin, a finite difference, round to nearest, and itself on threads."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from egrl.compression.compress import Compression, compress
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import InputStatistics
from graph_ir.compression.methods.easyquant import (
    LARGEST,
    SMALLEST,
    EasyQuant,
    importance,
    output_error,
)
from graph_ir.compression.methods.range_kernel import search_ranges
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.errors import InputError
from graph_ir.save import save_model
from runtime.manifest import Execution
from runtime.session import make_session, run_session
from tests.compression.graphs import loaded
from tests.compression.products import product_model

F64 = NDArray[np.float64]

GRIDS = [
    Grid(bits=bits, group=group, symmetric=symmetric)
    for bits in (2, 4, 8)
    for group in (32, 64)
    for symmetric in (True, False)
]


def weight(inner: int, columns: int, seed: int = 0, heavy: bool = True) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = rng.standard_t(3, (inner, columns)) if heavy else rng.normal(size=(inner, columns))
    return (0.02 * drawn).astype(np.float32)


def twin(group_S: np.ndarray, importance_S: np.ndarray, grid: Grid, shares: np.ndarray) -> float:
    """Smallest weighted error that any candidate reaches, one group at a time, in float64."""
    low, high = min(group_S.min(), 0.0), max(group_S.max(), 0.0)
    tries: list[tuple[float, float]] = []
    for share in shares:
        if grid.symmetric:
            extreme = high if high > -low else low
            tries += [(share * extreme / grid.lowest, 0.0), (share * extreme / grid.highest, 0.0)]
        else:
            scale = share * (high - low) / grid.highest
            for shift in (-1, 0, 1):
                zero = np.rint(0.5 * (grid.highest - (low + high) / scale) + shift)
                tries.append((scale, float(np.clip(zero, 0, grid.highest))))
    best = np.inf
    for scale, zero in tries:
        for _ in range(3):
            level_S = np.clip(np.rint(group_S / scale), grid.lowest - zero, grid.highest - zero)
            square = float((importance_S * level_S**2).sum())
            if square == 0:
                break
            scale = float((importance_S * level_S * group_S).sum()) / square
            error = float((importance_S * (group_S - scale * level_S) ** 2).sum())
            best = min(best, error)
    return best


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_kernel_reaches_what_the_twin_reaches(grid: Grid) -> None:
    weight_KN = weight(grid.group, 3)
    importance_K = np.random.default_rng(1).uniform(0.5, 2, grid.group).astype(np.float32)
    shares = np.linspace(SMALLEST, LARGEST, 12, dtype=np.float32)
    scale_GN, zero_GN = np.empty((1, 3), np.float32), np.empty((1, 3), np.float32)
    search_ranges(
        weight_KN, importance_K, grid.group, grid.lowest, grid.highest, shares, scale_GN, zero_GN
    )
    for n in range(3):
        group_S = weight_KN[:, n].astype(np.float64)
        scale, zero = float(scale_GN[0, n]), float(zero_GN[0, n])
        level_S = np.clip(np.rint(group_S / scale) + zero, grid.lowest, grid.highest) - zero
        error = float((importance_K * (group_S - scale * level_S) ** 2).sum())
        # The twin polishes every candidate, in float64; the kernel only the best.
        slack = 1.02 if grid.bits < 8 else 1.5
        assert error <= slack * twin(group_S, importance_K, grid, shares)


def test_scale_is_where_the_gradient_vanishes() -> None:
    grid = Grid()
    weight_KN = weight(32, 40)
    shares = np.linspace(SMALLEST, LARGEST, 26, dtype=np.float32)
    scale_GN, zero_GN = np.empty((1, 40), np.float32), np.empty((1, 40), np.float32)
    ones_K = np.ones(32, np.float32)
    search_ranges(weight_KN, ones_K, 32, grid.lowest, grid.highest, shares, scale_GN, zero_GN)
    wide_KN, scale_N = weight_KN.astype(np.float64), scale_GN[0].astype(np.float64)

    def level(at_N: F64) -> F64:
        return np.asarray(np.clip(np.rint(wide_KN / at_N), grid.lowest, grid.highest))

    def error(at_N: F64) -> F64:
        return np.asarray(np.square(wide_KN - at_N * level(at_N)).sum(axis=0))

    def gradient(at_N: F64) -> F64:
        """Section 3.2 of the paper."""
        return np.asarray(2 * ((at_N * level(at_N) - wide_KN) * level(at_N)).sum(axis=0))

    step_N = 1e-7 * scale_N
    same_N = (level(scale_N - step_N) == level(scale_N + step_N)).all(axis=0)
    assert same_N.mean() > 0.9, "away from the jumps of rounding"
    elsewhere_N = 1.03 * scale_N
    smooth_N = (level(elsewhere_N - step_N) == level(elsewhere_N + step_N)).all(axis=0)
    difference_N = (error(elsewhere_N + step_N) - error(elsewhere_N - step_N)) / (2 * step_N)
    np.testing.assert_allclose(
        difference_N[smooth_N], gradient(elsewhere_N)[smooth_N], rtol=1e-4, atol=1e-8
    )
    ratio_N = np.abs(gradient(scale_N)) / np.abs(gradient(elsewhere_N))
    assert np.median(ratio_N) < 1e-2, "the polished scale is a fixed point"


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("heavy", [True, False])
def test_no_group_is_worse_than_round_to_nearest(grid: Grid, heavy: bool) -> None:
    weight_KN = weight(200, 70, heavy=heavy)
    square_K = np.random.default_rng(2).exponential(size=200) ** 2
    inputs = InputStatistics(square_K, 100)
    counts_K = importance(square_K, EasyQuant().flatten)
    found = output_error(weight_KN, EasyQuant().quantize(weight_KN, grid, inputs), counts_K)
    nearest = output_error(weight_KN, Rtn().quantize(weight_KN, grid), counts_K)
    assert (found <= nearest).all()
    # From 8 bits on rounding the scale to float16 takes most of the gain.
    assert found.sum() < (0.97 if grid.bits < 8 else 1) * nearest.sum()


def test_inputs_decide_which_channels_are_exact() -> None:
    weight_KN = weight(64, 50)
    square_K = np.where(np.arange(64) % 8 == 0, 100.0, 1.0)
    inputs_RK = np.random.default_rng(3).normal(size=(4096, 64)) * np.sqrt(square_K)
    inputs = InputStatistics(np.square(inputs_RK).mean(axis=0), 4096)
    blind = EasyQuant().quantize(weight_KN, Grid()).dequantized() - weight_KN
    seeing = EasyQuant().quantize(weight_KN, Grid(), inputs).dequantized() - weight_KN
    assert np.square(inputs_RK @ seeing).mean() < 0.7 * np.square(inputs_RK @ blind).mean()
    assert np.square(seeing).mean() > np.square(blind).mean()


def test_channels_that_no_input_reaches_still_count() -> None:
    weight_KN = weight(64, 20)
    reached = InputStatistics(np.where(np.arange(64) < 60, 1.0, 0.0), 10)
    error_KN = EasyQuant().quantize(weight_KN, Grid(), reached).dequantized() - weight_KN
    assert np.square(error_KN[60:]).mean() < 0.1 * np.square(weight_KN[60:]).mean()
    alone = EasyQuant().quantize(weight_KN, Grid())
    for nothing in (0.0, np.inf, np.nan):
        says_nothing = InputStatistics(np.full(64, nothing), 10)
        found = EasyQuant().quantize(weight_KN, Grid(), says_nothing)
        assert np.array_equal(found.levels_KN, alone.levels_KN)


@given(st.integers(1, 80), st.integers(1, 1100), st.booleans(), st.integers(0, 3))
def test_same_bytes_on_any_number_of_threads(
    inner: int, columns: int, symmetric: bool, seed: int
) -> None:
    weight_KN, grid = weight(inner, columns, seed), Grid(symmetric=symmetric)
    one, three = (EasyQuant(search=4, threads=t).quantize(weight_KN, grid) for t in (1, 3))
    assert one.levels_KN.tobytes() == three.levels_KN.tobytes()
    assert one.scale_GN.tobytes() == three.scale_GN.tobytes()
    assert one.levels_KN.shape == (inner, columns)
    if one.zero_GN is not None and three.zero_GN is not None:
        assert one.zero_GN.tobytes() == three.zero_GN.tobytes()


@pytest.mark.parametrize("symmetric", [True, False])
def test_zeros_stay_zeros(symmetric: bool) -> None:
    weight_KN = weight(64, 20)
    weight_KN[:, 3] = 0
    weight_KN[32:, 5] = 0
    dequantized_KN = EasyQuant().quantize(weight_KN, Grid(symmetric=symmetric)).dequantized()
    assert not dequantized_KN[:, 3].any()
    assert not dequantized_KN[32:, 5].any()
    assert np.isfinite(dequantized_KN).all()


@pytest.mark.parametrize("size", [1e-9, 1e-7, 1e4])
def test_scales_at_the_ends_of_float16(size: float) -> None:
    weight_KN = (size * np.random.default_rng(0).normal(size=(64, 8))).astype(np.float32)
    found = EasyQuant().quantize(weight_KN, Grid())
    assert np.isfinite(found.dequantized()).all()
    nothing_GN = np.square(weight_KN, dtype=np.float64).reshape(2, 32, 8).sum(axis=1)
    ones_K = np.ones(64, np.float32)
    assert (output_error(weight_KN, found, ones_K) <= (1 + 1e-6) * nothing_GN).all()


def test_without_search_it_is_round_to_nearest() -> None:
    weight_KN = weight(64, 20)
    found, nearest = (
        EasyQuant(search=0).quantize(weight_KN, Grid()),
        Rtn().quantize(weight_KN, Grid()),
    )
    assert np.array_equal(found.levels_KN, nearest.levels_KN)
    assert np.array_equal(found.scale_GN, nearest.scale_GN)


@pytest.mark.parametrize("options", [{"search": -1}, {"threads": -1}, {"flatten": 0}])
def test_refuses_options_out_of_range(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected"):
        EasyQuant(**options)


@pytest.mark.parametrize("options", ["", ",symmetric=false", ",group=64", ",bits=8"])
def test_executed_as_it_was_dequantized(options: str, tmp_path: Path) -> None:
    source = product_model(96, 40)
    model = loaded(tmp_path, source)
    done = compress(model, Compression((f"int4:easyquant{options}",)))
    assert done.records[0].options["method"] == "easyquant"
    save_model(model.graph_model, tmp_path, "quantized")
    x_MK = np.random.default_rng(5).standard_normal((4, 96)).astype(np.float32)
    session = make_session(tmp_path / "quantized.onnx", Execution(accuracy_level=1))
    got_MN = run_session(session, {"x": x_MK})["y"]
    weight_KN, bias_N = (onnx.numpy_helper.to_array(t) for t in source.graph.initializer)
    judge = ReferenceEvaluator(onnx.load(tmp_path / "quantized.onnx"))
    expected_MN = np.asarray(judge.run(None, {"x": x_MK})[0], np.float32)
    np.testing.assert_allclose(np.asarray(got_MN, np.float32), expected_MN, rtol=1e-4, atol=1e-4)
    exact_MN = x_MK.astype(np.float64) @ weight_KN + bias_N
    off = np.linalg.norm(expected_MN - exact_MN) / np.linalg.norm(exact_MN - bias_N)
    assert off < (0.01 if "bits=8" in options else 0.12)


def test_is_the_default(tmp_path: Path) -> None:
    chosen = []
    for text in ("int4", "int4:easyquant"):
        model = loaded(tmp_path, product_model(64, 32))
        compress(model, Compression((text,)))
        save_model(model.graph_model, tmp_path, "made")
        chosen.append((tmp_path / "made.onnx").read_bytes())
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize(
    ("grid", "bits"),
    [(Grid(), 4.5), (Grid(group=64), 4.25), (Grid(symmetric=False), 4.625), (Grid(bits=8), 8.5)],
    ids=str,
)
def test_stored_bits_are_all_that_is_stored(grid: Grid, bits: float) -> None:
    found = EasyQuant().quantize(weight(128, 24), grid)
    zeros = 0 if found.zero_GN is None else found.zero_GN.size * grid.bits
    counted = found.levels_KN.size * grid.bits + found.scale_GN.size * 16 + zeros
    assert found.stored_bits == counted == bits * 128 * 24
