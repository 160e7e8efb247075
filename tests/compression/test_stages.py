"""Running a model from value to value: the values, what is held, what a change does."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egrl.compression.quantize import quantize_sites
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data, Runner
from graph_ir.compression.methods.gptq import Gptq
from graph_ir.compression.sites import find_sites
from graph_ir.compression.stages import by_input, run_in_stages
from graph_ir.compression.statistics import input_statistics
from graph_ir.errors import InputError
from graph_ir.opset import raise_opset
from tests.compression.chains import loaded, residual_model


class Watched(Runner):
    """Remembers the weights of every model that it was given, and how often it was run."""

    def __init__(self):
        self.weights = []
        self.fed = []

    def open(self, model, outputs):
        self.weights.append(
            {n for n, v in model.graph.initializers.items() if v.const_value.size > 64}
        )
        execute = OnnxRuntimeRunner().open(model, outputs)

        def watched(feeds):
            self.fed.append(set(feeds))
            return execute(feeds)

        return watched


def samples(count, rows=64):
    rng = np.random.default_rng(5)
    return [{"x": rng.standard_normal((rows, 32)).astype(np.float32)} for _ in range(count)]


def test_values_are_those_of_the_whole_model(tmp_path):
    model = loaded(residual_model(), tmp_path).graph_model
    values = [group.value for group in by_input(find_sites(model.graph).found)]
    fed = samples(3)
    names = [value.name for value in values]
    rest = [name for name in names if name != "x"]
    expected = OnnxRuntimeRunner().run(model, fed, rest)
    for name, arrays in zip(
        names, run_in_stages(model, values, fed, OnnxRuntimeRunner()), strict=True
    ):
        for sample, outputs, array in zip(fed, expected, arrays, strict=True):
            assert np.allclose(array, sample["x"] if name == "x" else outputs[name], atol=1e-4)


def test_sites_that_read_one_value_are_a_group(tmp_path):
    model = loaded(residual_model(layers=2), tmp_path).graph_model
    groups = [[site.name for site in g.sites] for g in by_input(find_sites(model.graph).found)]
    assert groups == [["mix"], ["up0", "gate0"], ["down0"], ["up1", "gate1"], ["down1"], ["head"]]


def test_a_stage_holds_no_weight_of_another(tmp_path):
    model = loaded(residual_model(layers=4), tmp_path).graph_model
    values = [group.value for group in by_input(find_sites(model.graph).found)]
    runner = Watched()
    for _ in run_in_stages(model, values, samples(2), runner):
        pass
    loads = [name for weights in runner.weights for name in sorted(weights)]
    assert len(loads) == len(set(loads)), "a weight was loaded twice"
    assert max(map(len, runner.weights)) <= 2
    # What is held between stages does not grow with depth: the residual and the stage's input.
    assert max(map(len, runner.fed)) <= 2


def test_what_is_changed_downstream_is_run_as_changed(tmp_path):
    model = loaded(residual_model(), tmp_path).graph_model
    sites = find_sites(model.graph).found
    values = [group.value for group in by_input(sites)]
    fed = samples(2)
    plain = [a[0].copy() for a in run_in_stages(model, values, fed, OnnxRuntimeRunner())]
    changed = []
    for group, arrays in zip(
        by_input(sites), run_in_stages(model, values, fed, OnnxRuntimeRunner()), strict=True
    ):
        changed.append(arrays[0].copy())
        if group.sites[0].name == "down0":
            weight = group.sites[0].weight
            weight.const_value = ir.Tensor(2 * weight.const_value.numpy(), name=weight.name)
    names = [group.sites[0].name for group in by_input(sites)]
    at = names.index("down0")
    for number, (a, b) in enumerate(zip(plain, changed, strict=True)):
        assert np.allclose(a, b) == (number <= at), names[number]


def test_gptq_sees_what_the_quantized_layers_before_give(tmp_path):
    """With the inputs of the float model instead the layers' recorded errors would be others."""
    model = loaded(residual_model(), tmp_path).graph_model
    raise_opset(model, 21, "model")
    sites = find_sites(model.graph).found
    data = Data(tuple(samples(4)), OnnxRuntimeRunner(), 0, True)
    records = quantize_sites(model, Gptq(), sites, {s.name: Grid(4, 16) for s in sites}, data)
    last = records[-1]
    name = next(node for node in model.graph if node.name == "head").inputs[0].name
    seen = [out[name] for out in OnnxRuntimeRunner().run(model, data.samples, [name])]
    source = loaded(residual_model(), tmp_path).graph_model
    weight = source.graph.initializers["head"].const_value.numpy()
    got = [out["y"] for out in OnnxRuntimeRunner().run(model, data.samples, ["y"])]
    error = sum(np.square(y - x @ weight).sum() for x, y in zip(seen, got, strict=True))
    scale = sum(np.square(x @ weight).sum() for x in seen)
    assert last.output_error == pytest.approx(np.sqrt(error / scale), rel=0.02)


@given(st.integers(1, 40), st.integers(1, 1500), st.integers(0, 99))
def test_statistics_are_the_mean_of_products(inner, rows, seed):
    x = np.random.default_rng(seed).standard_normal((rows, inner)).astype(np.float32)
    parts = np.array_split(x, 3) if rows > 3 else [x]
    got = input_statistics([part[None] for part in parts])
    exact = x.astype(np.float64)
    assert got.rows == rows
    assert np.allclose(got.gram_KK, exact.T @ exact / rows, atol=1e-5)


def test_runner_names_what_the_engine_refuses(tmp_path):
    model = loaded(residual_model(), tmp_path).graph_model
    execute = OnnxRuntimeRunner().open(model, ["y"])
    with pytest.raises(InputError, match="onnxruntime failed"):
        execute({"x": np.zeros((64, 31), np.float32)})


def test_runner_goes_on_with_the_model_as_it_was(tmp_path):
    model = loaded(residual_model(), tmp_path).graph_model
    execute = OnnxRuntimeRunner().open(model, ["y"])
    before = execute(samples(1)[0])["y"]
    head = model.graph.initializers["head"]
    head.const_value = ir.Tensor(np.zeros(head.const_value.shape, np.float32), name="head")
    assert np.array_equal(execute(samples(1)[0])["y"], before)
    assert not OnnxRuntimeRunner().run(model, samples(1), ["y"])[0]["y"].any()
