"""The error is measured sample by sample, without a copy of weights, and as it always was."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from egrl.compression import error as error_module
from egrl.compression.error import Reference, relative_error, run_samples
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.compression.mean_squares import mean_squares
from graph_ir.compression.method import Data
from graph_ir.load import load_model
from graph_ir.model import Model
from graph_ir.onnx_values import value_name
from graph_ir.opset import raise_opset
from graph_ir.passes.rewiring import Names, unused_name
from runtime.manifest import Execution
from tests.graph_ir.tiny_models import TINY_DIMS, TINY_MODELS

WIDTH = 64


def product(folder: Path, external: bool) -> Model:
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) for _ in range(2)]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "a"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "b"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", 1, [2, 5, WIDTH])],
        [helper.make_tensor_value_info("y", 1, [2, 5, WIDTH])],
        [onnx.numpy_helper.from_array(w, n) for w, n in zip(weights, "ab", strict=True)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(
        proto,
        folder / "m.onnx",
        save_as_external_data=external,
        location="m.data",
        size_threshold=0,
    )
    return load_model(folder / "m.onnx")


def samples(count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(size=(2, 5, WIDTH)).astype(np.float32)} for _ in range(count)]


def worse(model: ir.Model) -> ir.Model:
    other = model.clone()
    value = other.graph.initializers["a"]
    assert value.const_value is not None
    value.const_value = ir.tensor(1.25 * value.const_value.numpy(), name="a")
    return other


@pytest.mark.parametrize("kept", [0, 1 << 20])
def test_reference_measures_what_running_both_models_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(error_module, "_KEPT_BYTES", kept)
    monkeypatch.setattr(error_module, "_CHUNK", 7)
    monkeypatch.setattr(error_module, "_HELD_BYTES", 2 * 4 * 10 * WIDTH)
    model = product(tmp_path, external=True).graph_model
    fed, other = samples(3), worse(model)
    reference = Reference(model, fed)
    model.graph.initializers["a"].const_value = other.graph.initializers["a"].const_value
    # Relu(1.25 x) = 1.25 Relu(x): a quarter, whatever the inputs; and the change made to the
    # model after it was remembered is not in the reference.
    for _ in range(2):
        assert reference.error(other, Execution()) == pytest.approx(0.25, rel=1e-5)
    assert reference.error(model, Execution()) == pytest.approx(0.25, rel=1e-5)


def test_samples_count_by_their_size(tmp_path: Path) -> None:
    expected = [{"y": np.array([3.0, 4.0])}, {"y": np.zeros(2)}]
    got = [{"y": np.array([3.0, 4.0])}, {"y": np.array([0.0, 1.0])}]
    assert relative_error(expected, got) == pytest.approx(0.2)
    assert relative_error([], []) == 0.0


@pytest.mark.parametrize("external", [False, True])
def test_mapped_weights_are_not_copied(tmp_path: Path, external: bool) -> None:
    model = product(tmp_path, external).graph_model
    (plain,) = run_samples(model, samples(1), Execution())
    (got,) = OnnxRuntimeRunner().run(model, samples(1), ["y"])
    np.testing.assert_allclose(got["y"], plain["y"], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["attention_decomposed", "bert_layer", "decoder_step", "mobile_block"]
)
def test_mean_squares_are_those_of_the_values(tmp_path: Path, name: str) -> None:
    onnx.save(TINY_MODELS[name](), tmp_path / "m.onnx")
    model = load_model(tmp_path / "m.onnx", TINY_DIMS.get(name, {})).graph_model
    raise_opset(model, 21, name)
    values = [
        v
        for node in model.graph
        for v in node.outputs
        if v.dtype is ir.DataType.FLOAT and v.shape is not None and len(v.shape) > 0
    ]
    values += [v for v in model.graph.inputs if v.dtype is ir.DataType.FLOAT and len(v.shape or ())]
    from egrl.compression.inputs import draw_inputs

    fed = draw_inputs(model.graph, 0, 2).samples
    runner = OnnxRuntimeRunner()
    before = [value_name(v) for node in model.graph for v in node.outputs]
    found = mean_squares(model, values, Data(fed, runner, 0, False))
    assert [value_name(v) for node in model.graph for v in node.outputs] == before
    assert mean_squares(model, [], Data(fed, runner, 0, False)) == {}
    inside = [value for value in values if value.producer() is not None]
    whole = runner.run(model, fed, [value_name(value) for value in inside])
    for value in inside:
        arrays = [each[value_name(value)] for each in whole]
        rows_RK = np.concatenate([a.reshape(-1, a.shape[-1]) for a in arrays]).astype(np.float64)
        got = found[value_name(value)]
        assert got.rows == len(rows_RK)
        np.testing.assert_allclose(got.square_K, np.square(rows_RK).mean(axis=0), rtol=2e-4)
    for value in values[len(inside) :]:
        arrays = [each[value_name(value)] for each in fed]
        rows_RK = np.concatenate([a.reshape(-1, a.shape[-1]) for a in arrays])
        square_K = np.square(rows_RK).mean(axis=0)
        np.testing.assert_allclose(found[value_name(value)].square_K, square_K, rtol=1e-4)


def test_names_are_given_once(tmp_path: Path) -> None:
    graph = product(tmp_path, external=False).graph_model.graph
    names = Names(graph)
    assert [names.unused(stem) for stem in ("h", "a", "x", "new", "new")] == [
        "h_2",
        "a_2",
        "x_2",
        "new",
        "new_2",
    ]
    assert unused_name(graph, "new") == "new"
