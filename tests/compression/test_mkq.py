"""MKQ: gradients of scales against finite differences, its losses, and what training gains."""

import numpy as np
import pytest
import torch

from egrl.compression.inputs import draw_inputs
from egrl.compression.methods.adam import Adam
from egrl.compression.methods.attention_maps import find_attention
from egrl.compression.methods.distillation import Knowledge, Weights, distance
from egrl.compression.methods.fake_quantized import FakeQuantized
from egrl.compression.methods.mkq import Mkq, mixed
from egrl.compression.methods.student import Student, channel_constants
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.differentiable.graph import TorchGraph
from egrl.differentiable.types import as_tensor
from graph_ir.compression.emit import emit
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.opset import raise_opset
from graph_ir.passes.pipeline import run_lossless
from tests.differentiable.encoder import CLASSES, HEADS, LENGTH, WIDTH, encoder_model

GRIDS = [Grid(4, 16, True), Grid(4, 16, False), Grid(8, 32, True)]


def _weight(inner: int = 40, columns: int = 5) -> np.ndarray:
    return np.random.default_rng(3).standard_t(4, (inner, columns)).astype(np.float32)


def _square_error(trained: FakeQuantized, weight: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Of every group and column, by definition: in float64, from the levels of round to nearest."""
    grid, inner = trained._grid, len(weight)
    scale = trained._first_GN.numpy().astype(np.float64) * factors
    errors = np.zeros_like(scale)
    for k in range(inner):
        group = k // grid.group
        zero = 0 if trained._zero_GN is None else trained._zero_GN.numpy()[group]
        level = np.clip(np.rint(weight[k] / scale[group] + zero), grid.lowest, grid.highest)
        errors[group] += ((level - zero) * scale[group] - weight[k]) ** 2
    return errors


@pytest.mark.parametrize("grid", GRIDS)
def test_gradient_of_a_scale_is_that_of_the_square_error(grid, monkeypatch):
    # Without the rounding of scales to float16 it is exact.
    monkeypatch.setattr(torch.Tensor, "half", lambda tensor: tensor)
    weight = _weight()
    trained = FakeQuantized(weight, grid)
    trained.factor_GN -= 0.1
    factors = trained.factor_GN.numpy().astype(np.float64)
    _, got = trained.gradients(torch.zeros(weight.shape))
    step = 1e-6
    expected = (
        _square_error(trained, weight, factors + step)
        - _square_error(trained, weight, factors - step)
    ) / (2 * step)
    near_a_jump = np.abs(expected) > 1e3
    assert near_a_jump.mean() < 0.1
    np.testing.assert_allclose(
        got.numpy()[~near_a_jump], expected[~near_a_jump], rtol=2e-3, atol=2e-3
    )


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


@pytest.mark.parametrize("grid", GRIDS)
def test_gradients_of_the_loss_are_those_of_autograd(grid, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "half", lambda tensor: tensor)
    weight = _weight()
    trained = FakeQuantized(weight, grid, "lsq")
    trained.factor_GN -= 0.2
    leaf = torch.from_numpy(weight.copy()).requires_grad_()
    factor = trained.factor_GN.clone().requires_grad_()
    repeat = lambda x: x.repeat_interleave(grid.group, 0)[: len(weight)]  # noqa: E731
    scale = repeat(trained._first_GN * factor)
    zero = torch.zeros(()) if trained._zero_GN is None else repeat(trained._zero_GN)
    levels = torch.clamp(_Pass.apply(leaf / scale + zero), grid.lowest, grid.highest)
    twin = (levels - zero) * scale
    np.testing.assert_allclose(twin.detach().numpy(), trained.quantized_KN().numpy(), atol=1e-6)
    gradient = torch.from_numpy(np.random.default_rng(1).standard_normal(weight.shape).astype("f4"))
    twin.backward(gradient)
    got_weight, got_factor = trained.gradients(gradient)
    got_weight = got_weight.reshape(-1, weight.shape[1])[: len(weight)]
    np.testing.assert_allclose(got_weight, leaf.grad, atol=1e-6)
    np.testing.assert_allclose(got_factor, factor.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("grid", GRIDS)
def test_starts_at_round_to_nearest_and_ends_as_trained(grid):
    weight = _weight()
    trained = FakeQuantized(weight, grid)
    expected = Rtn().quantize(weight, grid)
    np.testing.assert_array_equal(trained.result().levels_KN, expected.levels_KN)
    trained.weight_GSN += 0.1
    trained.factor_GN *= 1.1
    np.testing.assert_array_equal(trained.quantized_KN().numpy(), trained.result().dequantized())


def _encoder(tmp_path, layers=1, *, fused=False):
    encoder_model(tmp_path / "m.onnx", layers, fused=fused)
    model = load_model(tmp_path / "m.onnx").graph_model
    run_lossless(model)
    raise_opset(model, 21, "m.onnx")
    return model


def test_attention_is_found_in_both_forms(tmp_path):
    maps = []
    for fused in (False, True):
        model = _encoder(tmp_path, 2, fused=fused)
        found = find_attention(model.graph)
        assert len(found) == 2
        (sample,) = draw_inputs(model.graph, 0, 1).samples
        given = {value: as_tensor(sample[value.name]) for value in model.graph.inputs}
        graph = TorchGraph(model.graph)
        maps.append(found[-1].maps(graph, graph.run(given, found[-1].reads)))
    assert maps[0][0].shape == (1, HEADS, LENGTH, LENGTH)
    assert maps[0][1].shape == (1, HEADS, LENGTH, WIDTH // HEADS)
    for plain, fused in zip(*maps, strict=True):
        torch.testing.assert_close(plain, fused, rtol=1e-4, atol=1e-5)


def _knowledge(seed: int, keys: int = 5) -> Knowledge:
    rng = np.random.default_rng(seed)
    scores, values = rng.standard_normal((2, 4, keys)), rng.standard_normal((2, keys, 3))
    scores = np.concatenate([scores, np.full((2, 4, 5 - keys), -np.inf)], -1)
    values = np.concatenate([values, rng.standard_normal((2, 5 - keys, 3))], 1)
    return Knowledge(
        [torch.from_numpy(rng.standard_normal(3))],
        torch.softmax(torch.from_numpy(scores), -1),
        torch.from_numpy(values),
    )


def test_distance_by_hand():
    teacher, student = _knowledge(0), _knowledge(1)
    p, q = teacher.probabilities.numpy(), student.probabilities.numpy()
    attention = (p * np.log(p / q)).sum(-1).mean()
    relations = []
    for values in (teacher.values.numpy(), student.values.numpy()):
        scores = np.exp(values @ values.transpose(0, 2, 1) / np.sqrt(3))
        relations.append(scores / scores.sum(-1, keepdims=True))
    relation = (relations[0] * np.log(relations[0] / relations[1])).sum(-1).mean()
    y, z = teacher.outputs[0].numpy(), student.outputs[0].numpy()
    output = ((y - z) ** 2).mean() / (y**2).mean()
    got = distance(teacher, student, Weights(2.0, 3.0, 5.0), [float((y**2).mean())]).item()
    assert got == pytest.approx(2 * attention + 3 * relation + 5 * output, rel=1e-6)
    assert distance(teacher, teacher, Weights(), [1.0]).item() == pytest.approx(0, abs=1e-9)


def test_padding_does_not_count():
    teacher, student = _knowledge(0, 3), _knowledge(1, 3)
    before = distance(teacher, student, Weights(output=0.0), [1.0]).item()
    student.values[:, 3:] += 100.0
    assert distance(teacher, student, Weights(output=0.0), [1.0]).item() == pytest.approx(before)
    student.values[:, 2:] += 1.0
    assert distance(teacher, student, Weights(output=0.0), [1.0]).item() != pytest.approx(before)


def _data(model, count):
    return Data(draw_inputs(model.graph, 1, count).samples, OnnxRuntimeRunner(), 0, True)


def _error(before, after, samples):
    """Relative, of the logits."""
    a, b = (OnnxRuntimeRunner().run(model, samples, ["logits"]) for model in (before, after))
    expected, got = (np.stack([each["logits"] for each in results]) for results in (a, b))
    assert expected.shape[-1] == CLASSES
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


def _applied(model, quantized):
    changed = model.clone()
    for site in find_sites(changed.graph).found:
        emit(site, quantized[site.name])
    return changed


def test_adam_by_its_definition():
    rng = np.random.default_rng(0)
    starts = [rng.standard_normal((3, 2)), rng.standard_normal(4)]
    tensors, rates = [torch.from_numpy(array.copy()) for array in starts], (0.1, 1e-3)
    optimizer, history = Adam(tensors), [[], []]
    for _ in range(3):
        gradients = [rng.standard_normal(array.shape) for array in starts]
        optimizer.step([torch.from_numpy(gradient) for gradient in gradients], rates)
        for past, gradient in zip(history, gradients, strict=True):
            past.append(gradient)
    for start, past, rate, tensor in zip(starts, history, rates, tensors, strict=True):
        expected = start
        for t in range(1, 4):
            mean = sum(0.1 * 0.9 ** (t - 1 - i) * past[i] for i in range(t)) / (1 - 0.9**t)
            square = sum(1e-3 * 0.999 ** (t - 1 - i) * past[i] ** 2 for i in range(t))
            square = square / (1 - 0.999**t)
            expected = expected - rate * mean / (np.sqrt(square) + 1e-8)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("gradient", ["mse", "lsq"])
def test_better_than_round_to_nearest(tmp_path, gradient):
    model = _encoder(tmp_path)
    sites = find_sites(model.graph).found
    grids = {site.name: Grid(4, 32) for site in sites}
    nearest = {s.name: Rtn().quantize(s.weight_KN(), grids[s.name]) for s in sites}
    source = model.clone()
    data = _data(model, 15)
    start = _error(source, _applied(model, nearest), data.samples)
    method = Mkq(steps=20, batch=4, rate=3e-3, scale_gradient=gradient)
    trained = method.quantize(model, sites, grids, data)
    assert list(trained) == list(nearest)
    assert _error(source, _applied(model, trained), data.samples) < 0.8 * start


def test_constants_are_written_back(tmp_path):
    model = _encoder(tmp_path)
    sites = find_sites(model.graph).found
    names = [value.name for value in channel_constants(model.graph, sites)]
    assert "l0.q.bias" in names
    assert "l0.up.bias" in names
    assert "one" not in names
    before = {n: model.graph.initializers[n].const_value.numpy().copy() for n in names}
    grids = {site.name: Grid(4, 32) for site in sites}
    Mkq(steps=8, batch=2, rate=1e-3).quantize(model, sites, grids, _data(model, 4))
    after = {n: model.graph.initializers[n].const_value.numpy() for n in names}
    assert any(not np.array_equal(before[n], after[n]) for n in names)
    assert [v.name for v in channel_constants(model.graph, sites)] == names


def test_same_seed_same_bytes(tmp_path):
    results = []
    for _ in range(2):
        model = _encoder(tmp_path)
        sites = find_sites(model.graph).found
        grids = {site.name: Grid(4, 32) for site in sites}
        method = Mkq(steps=4, batch=2, rate=1e-3)
        results.append(method.quantize(model, sites, grids, _data(model, 6)))
    for name, quantized in results[0].items():
        np.testing.assert_array_equal(quantized.levels_KN, results[1][name].levels_KN)
        np.testing.assert_array_equal(quantized.scale_GN, results[1][name].scale_GN)


def test_the_most_sensitive_share_keeps_eight_bits(tmp_path):
    model = _encoder(tmp_path)
    sites = find_sites(model.graph).found
    grids = {site.name: Grid(4, 32) for site in sites}
    samples = _data(model, 2).samples
    student = Student(model, sites, grids, "mse", Weights(), samples)
    total = sum(site.inner * site.columns for site in sites)
    sizes = []
    for share in (0.0, 0.5, 1.0):
        chosen = mixed(student, sites, grids, samples, share)
        sizes.append(sum(s.inner * s.columns for s in sites if chosen[s.name].bits == 8))
        assert all(grid.group == 32 for grid in chosen.values())
    assert sizes[0] == 0
    assert 0.3 * total < sizes[1] <= 0.5 * total
    assert sizes[2] == total
    trained = Mkq(steps=1, batch=1, share8=0.5).quantize(model, sites, grids, _data(model, 2))
    assert {quantized.grid.bits for quantized in trained.values()} == {4, 8}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"scale_gradient": "none"}, "scale_gradient=none: expected one of mse, lsq"),
        ({"steps": 0}, "steps=0: expected at least 1"),
        ({"rate": -1.0}, "rate=-1: expected at least 0"),
        ({"share8": 1.5}, "share8=1.5: expected between 0 and 1"),
    ],
)
def test_wrong_options(options, reason):
    with pytest.raises(InputError, match=reason):
        Mkq(**options)
