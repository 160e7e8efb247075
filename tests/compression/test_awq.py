"""Activation-aware scaling: the function stays, the rounded outputs get closer."""

import numpy as np
import pytest

from egrl.compression.compress import Compression, compress
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.compression.awq import Awq, best_scale, scale_of
from graph_ir.compression.awq_fold import places_before, places_behind
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.errors import InputError
from tests.compression.decoders import NORMS, Decoder, ids, loaded, logits


def data(grid=Grid(group=16)):  # noqa: B008  frozen
    return Data(ids(), OnnxRuntimeRunner(), 0, True, grid)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("biases", [False, True])
def test_function_is_kept(tmp_path, norm, biases):
    model = loaded(Decoder(32, norm, biases=biases), tmp_path).graph_model
    before = logits(model, ids())
    result = Awq().prepare(model, data())
    # Of two norms in the layer, the gate, and the norm before the head.
    assert result.changes >= 3
    assert np.abs(logits(model, ids()) - before).max() < 1e-5 * np.ptp(before)
    assert any(name.endswith(".weight.scaled") for name in model.graph.initializers)


def inputs_with_an_outlier(inner=32, rows=50):
    rng = np.random.default_rng(0)
    x_RK = rng.standard_normal((rows, inner)).astype(np.float32)
    x_RK[:, 5] *= 30
    return x_RK, rng.standard_normal((inner, 24)).astype(np.float32)


@pytest.mark.parametrize("grid", [Grid(group=16), Grid(group=32, symmetric=False)])
def test_chosen_alpha_is_the_one_with_the_smallest_output_error(grid):
    x_RK, weight_KN = inputs_with_an_outlier()
    alphas = np.arange(10) / 10
    alpha, scale_K = best_scale([x_RK[None]], [weight_KN], grid, alphas)
    errors = []
    for candidate in alphas:
        s_K = scale_of(np.abs(x_RK).mean(axis=0).astype(np.float64), candidate)
        rounded = Rtn().quantize((weight_KN * s_K[:, None]).astype(np.float32), grid).dequantized()
        errors.append(np.linalg.norm((x_RK / s_K) @ rounded - x_RK @ weight_KN))
    assert alpha == alphas[np.argmin(errors)] > 0
    assert min(errors) < 0.7 * errors[0]
    assert scale_K[5] == scale_K.max()


def test_channels_that_are_always_zero_keep_one():
    scale_K = scale_of(np.array([0.0, 1.0, 4.0]), 0.5)
    assert scale_K[0] == 1
    assert scale_K[2] == pytest.approx(2 * scale_K[1])
    assert (scale_of(np.zeros(3), 0.5) == 1).all()


def test_a_table_that_is_also_the_embedding_is_left_alone(tmp_path):
    model = loaded(Decoder(32, tied=True), tmp_path).graph_model
    Awq().prepare(model, data())
    nodes = {node.name: node for node in model.graph}
    assert nodes["head"].inputs[1] is nodes["embedding"].inputs[0]


def test_gates_scale_the_side_that_is_linear(tmp_path):
    graph = loaded(Decoder(32, biases=True), tmp_path).graph_model.graph
    down = next(node for node in graph if node.name == "down")
    places = places_before(down.inputs[0])
    assert sorted(place.node.inputs[place.index].name for place in places) == [
        "up.bias",
        "up.weight",
    ]


def test_what_others_read_or_nothing_linear_makes_is_left_alone(tmp_path):
    graph = loaded(Decoder(32), tmp_path).graph_model.graph
    nodes = {node.name: node for node in graph}
    assert places_before(nodes["projection"].inputs[0]) is None
    assert places_behind(nodes["attention_residual"].outputs[0]) is None
    assert places_behind(graph.outputs[0]) is None


def test_same_bytes_every_time(tmp_path):
    kept = []
    for _ in range(2):
        model = loaded(Decoder(32), tmp_path).graph_model
        Awq().prepare(model, data())
        kept.append({n: v.const_value.tobytes() for n, v in model.graph.initializers.items()})
    assert kept[0] == kept[1]


def test_on_the_command_line(tmp_path):
    done = compress(loaded(Decoder(32), tmp_path), Compression(("int4:awq+rtn,group=16",)))
    assert done.details[0].record.notes[0].startswith("awq: ")


def test_no_steps_is_one_line(tmp_path):
    with pytest.raises(InputError, match="awq-steps=1: expected 2 to 1000"):
        compress(loaded(Decoder(32), tmp_path), Compression(("int4:awq+rtn,awq-steps=1",)))
