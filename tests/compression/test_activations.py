"""Ranges of activations: grids, what was seen, the three choices."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.compression.activations import (
    BINS,
    RangeOptions,
    grid_of,
    observe,
)
from graph_ir.compression.method import Data
from graph_ir.compression.qdq import ActivationGrid, grid_of_range
from graph_ir.errors import InputError
from graph_ir.load import load_model
from tests.compression.convolutions import network

finite = st.floats(-1e6, 1e6, width=32)


def seen_of(tmp_path, arrays):
    """What `observe` says of a model's input."""
    shape = list(arrays[0].shape)
    proto = network([helper.make_node("Neg", ["x"], ["y"], "neg")], {}, shape, shape)
    onnx.save(proto, tmp_path / "m.onnx")
    data = Data(tuple({"x": array} for array in arrays), OnnxRuntimeRunner(), 0, True)
    return observe(load_model(tmp_path / "m.onnx").graph_model, ["x"], data)["x"]


@given(finite, finite)
def test_grid_holds_zero_and_spans_the_range(a, b):
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    grid = grid_of_range(min(a, b), max(a, b))
    assert grid.scale > 0
    assert 0 <= grid.zero <= 255
    assert grid.rounded(np.zeros(1, np.float32))[0] == 0
    if high - low > 1e-30:
        assert grid.lowest <= low + grid.scale * 0.501
        assert grid.highest >= high - grid.scale * 0.501


@given(st.integers(0, 99), st.integers(0, 255), st.floats(1e-3, 1e3))
def test_rounded_is_what_onnxruntime_gives(seed, zero, scale):
    grid = ActivationGrid(float(np.float32(scale)), zero)
    x = (np.random.default_rng(seed).standard_normal(50) * scale * 200).astype(np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    constants = {"s": np.float32(grid.scale), "z": np.uint8(zero)}
    proto = network(nodes, constants, [50], [50])
    (expected,) = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    assert np.array_equal(grid.rounded(x), expected)


def test_histogram_counts_every_value_of_every_sample(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((4, 50)).astype(np.float32) * factor for factor in (1, 5)]
    seen = seen_of(tmp_path, arrays)
    values = np.concatenate([array.reshape(-1) for array in arrays])
    assert (seen.low, seen.high) == (float(values.min()), float(values.max()))
    assert seen.counts_B.sum() == values.size
    expected, _ = np.histogram(values, BINS, (seen.low, seen.high))
    # An edge may fall to either side.
    assert np.abs(expected - seen.counts_B).sum() <= 4


def error(grid, values):
    return float(np.square(grid.rounded(values) - values).mean())


def test_least_square_error_is_near_the_best_of_many_ranges(tmp_path):
    rng = np.random.default_rng(3)
    values = rng.standard_normal((400, 500)).astype(np.float32)
    values[0, 0] = 30
    seen = seen_of(tmp_path, [values])
    chosen = error(grid_of(seen, RangeOptions("mse")), values)
    assert chosen < error(grid_of(seen, RangeOptions("minmax")), values)
    best = min(
        error(grid_of_range(seen.low * a, seen.high * b), values)
        for a in np.linspace(0.05, 1, 40)
        for b in np.linspace(0.05, 1, 40)
    )
    assert chosen < 1.05 * best


def test_percentile_leaves_its_share_outside_of_each_end(tmp_path):
    values = np.linspace(-1, 3, 100_000, dtype=np.float32).reshape(100, 1000)
    grid = grid_of(seen_of(tmp_path, [values]), RangeOptions("percentile", 99.0))
    assert abs((values < grid.lowest).mean() - 0.01) < 0.003
    assert abs((values > grid.highest).mean() - 0.01) < 0.003


def test_minmax_clips_nothing_and_zeros_are_fine(tmp_path):
    values = np.array([[0.0, 0.5, 7.0]], np.float32)
    grid = grid_of(seen_of(tmp_path, [values]), RangeOptions("minmax"))
    assert grid.zero == 0
    assert abs(grid.highest - 7) < 1e-5
    for choice in ("mse", "percentile", "minmax"):
        nothing = seen_of(tmp_path, [np.zeros((1, 3), np.float32)])
        assert grid_of(nothing, RangeOptions(choice)) == ActivationGrid(1.0, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_activation_that_is_not_finite_is_named(tmp_path, value):
    with pytest.raises(InputError, match="tensor 'x': expected finite") as caught:
        seen_of(tmp_path, [np.array([[1.0, value]], np.float32)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("widest",), "range=widest: expected one of best, mse, percentile, minmax"),
        (("mse", 50.0), "percentile=50: expected more than 50"),
        (("mse", 101.0), "percentile=101: expected more than 50"),
    ],
)
def test_wrong_options(options, reason):
    with pytest.raises(InputError) as caught:
        RangeOptions(*options)
    assert reason in str(caught.value)
