"""SignRound: its gradients against autograd, its blocks, and that it beats round to nearest."""

import itertools

import numpy as np
import onnx_ir as ir
import pytest
import torch

from egrl.compression.inputs import draw_inputs
from egrl.compression.methods import torch_runs
from egrl.compression.methods.blocks import find_blocks, layers
from egrl.compression.methods.mkq import Mkq
from egrl.compression.methods.rounding import LearnedRounding
from egrl.compression.methods.signround import SignRound
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.compression.emit import emit
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.opset import raise_opset
from graph_ir.passes.pipeline import run_lossless
from tests.differentiable.encoder import LENGTH, WIDTH, encoder_model

GRIDS = [Grid(4, 16, True), Grid(4, 16, False), Grid(2, 32, True), Grid(2, 32, False)]


def _weight(inner: int = 40, columns: int = 6) -> np.ndarray:
    weight = np.random.default_rng(3).standard_t(4, (inner, columns)).astype(np.float32)
    weight[:32, 2] = 0  # a group of zeros
    weight[:32, 3] = np.abs(weight[:32, 3])  # one without negative entries
    return weight


@pytest.mark.parametrize("grid", GRIDS)
def test_starts_at_round_to_nearest(grid):
    weight = _weight()
    start, expected = LearnedRounding(weight, grid), Rtn().quantize(weight, grid)
    np.testing.assert_array_equal(start.quantized().levels_KN, expected.levels_KN)
    np.testing.assert_array_equal(start.quantized().scale_GN, expected.scale_GN)
    np.testing.assert_array_equal(start.weight_KN().numpy(), expected.dequantized())


@pytest.mark.parametrize("grid", GRIDS)
def test_result_is_what_was_trained(grid):
    weight = _weight()
    rounding = LearnedRounding(weight, grid)
    rng = np.random.default_rng(0)
    for _ in range(20):
        gradient = torch.from_numpy(rng.standard_normal(weight.shape).astype(np.float32))
        rounding.step(gradient, 0.05)
    result = rounding.quantized()
    np.testing.assert_array_equal(rounding.weight_KN().numpy(), result.dequantized())
    assert result.levels_KN.min() >= grid.lowest
    assert result.levels_KN.max() <= grid.highest
    assert not np.array_equal(result.levels_KN, Rtn().quantize(weight, grid).levels_KN)


class _Pass(torch.autograd.Function):
    """A rounding that gradients do not see."""

    @staticmethod
    def forward(ctx, x, rounded):
        return rounded

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def _twin(weight, grid, offset, factors):
    """The quantized weight, differentiable by autograd: slow and readable."""
    inner = weight.shape[0]
    groups = [weight[at : at + grid.group] for at in range(0, inner, grid.group)]
    if grid.symmetric:
        scale, _ = Rtn().quantize(weight.numpy(), grid).scale_GN, None
        scale = torch.from_numpy(scale.astype(np.float32)) * factors[0]
        zero = torch.zeros_like(scale)
    else:
        low = torch.stack([g.amin(0).clamp(max=0) for g in groups]) * factors[0]
        high = torch.stack([g.amax(0).clamp(min=0) for g in groups]) * factors[1]
        scale = (high - low) / grid.highest
        scale = torch.where(scale == 0, torch.ones(()), scale)
    scale = _Pass.apply(scale, scale.half().float())
    if not grid.symmetric:
        # As the method has it: the zero point is no function of the scale but of its range.
        zero = _Pass.apply(-low / scale, torch.round(-low / scale))
    repeat = lambda x: x.repeat_interleave(grid.group, 0)[:inner]  # noqa: E731
    steps = weight / repeat(scale) + offset + repeat(zero)
    levels = _Pass.apply(steps, torch.round(steps))
    levels = torch.clamp(levels, grid.lowest, grid.highest)
    return (levels - repeat(zero)) * repeat(scale)


@pytest.mark.parametrize("grid", GRIDS)
def test_gradients_are_those_of_autograd(grid):
    weight = _weight()
    rng = np.random.default_rng(5)
    rounding = LearnedRounding(weight, grid)
    draw = lambda x: torch.from_numpy(rng.uniform(-1, 1, tuple(x.shape)).astype(np.float32))  # noqa: E731
    rounding.offset_GSN += 0.5 * draw(rounding.offset_GSN)
    for factor in rounding.factors:
        factor += 0.2 * draw(factor) - 0.25
    offset = rounding.offset_GSN.reshape(-1, weight.shape[1])[: len(weight)].clone()
    leaves = [offset.requires_grad_(), *(f.clone().requires_grad_() for f in rounding.factors)]
    twin = _twin(torch.from_numpy(weight), grid, leaves[0], leaves[1:])
    used = np.arange(weight.shape[1]) != 2  # its scale is 1 by decree
    np.testing.assert_allclose(
        twin.detach().numpy()[:, used], rounding.weight_KN().numpy()[:, used], atol=1e-6
    )
    gradient = draw(torch.from_numpy(weight))
    twin.backward(gradient)
    got_offset, *got_factors = rounding.gradients(gradient)
    got_offset = got_offset.reshape(-1, weight.shape[1])[: len(weight)]
    np.testing.assert_allclose(got_offset[:, used], leaves[0].grad[:, used], rtol=1e-4, atol=1e-6)
    for got, leaf in zip(got_factors, leaves[1:], strict=True):
        # Where the zero point's rounding error meets the range, they differ by its share of it.
        slack = 2e-6 if grid.symmetric else _zero_slack(weight, grid, gradient.numpy())
        assert np.all(np.abs(got.numpy() - leaf.grad.numpy())[:, used] <= slack)


def _zero_slack(weight: np.ndarray, grid: Grid, gradient: np.ndarray) -> float:
    """Half a step of the largest group, times the gradients that reach it."""
    return 0.5 * float(np.ptp(weight)) / grid.highest * float(np.abs(gradient).max()) * grid.group


def test_layers_of_parts():
    a, m = ("a", "a"), ("m",)
    assert layers([a, m, a, m, ("h",)]) == [(0, 2), (2, 4), (4, 5)]
    # The first attention came in three parts; layers begin with it all the same.
    split = [("a",), ("a",), m, a, m, a, m, ("h",)]
    assert layers(split) == [(0, 3), (3, 5), (5, 7), (7, 8)]
    assert layers([("x",), ("y",), ("z",)]) == [(0, 1), (1, 2), (2, 3)]
    assert layers([("x",), ("x",), ("x",)]) == [(0, 1), (1, 2), (2, 3)]
    assert layers([a]) == [(0, 1)]


def _encoder(tmp_path, layer_count=2, *, fused=False):
    encoder_model(tmp_path / "m.onnx", layer_count, fused=fused)
    model = load_model(tmp_path / "m.onnx").graph_model
    run_lossless(model)
    raise_opset(model, 21, "m.onnx")
    return model


@pytest.mark.parametrize("fused", [False, True])
def test_blocks_of_an_encoder_are_its_layers(tmp_path, fused):
    model = _encoder(tmp_path, 4, fused=fused)
    sites = find_sites(model.graph).found
    blocks = find_blocks(model.graph, sites)
    assert [site for block in blocks for site in block.sites] == list(sites)
    assert [len(block.sites) for block in blocks] == [6, 6, 6, 6]
    assert [len(block.outputs) for block in blocks] == [1, 1, 1, 1]
    for before, block in itertools.pairwise(blocks):
        assert block.inputs == before.outputs
    assert not blocks[0].inputs
    # The pooling behind the last layer is no part of it.
    assert blocks[-1].outputs[0].shape == (1, LENGTH, WIDTH)
    assert [site.node.name for site in sites][-1] == blocks[-1].sites[-1].name


def _data(model, count=6, given=True):
    samples = draw_inputs(model.graph, 1, count).samples
    return Data(samples, OnnxRuntimeRunner(), 0, given)


def _error(model, quantized):
    """Of the last layer, relative, on samples that were not learned from."""
    samples = draw_inputs(model.graph, 2, 8).samples
    last = find_blocks(model.graph, find_sites(model.graph).found)[-1]
    runner, names = OnnxRuntimeRunner(), [value.name for value in last.outputs]
    expected = runner.run(model, samples, names)
    changed = model.clone()
    for site in find_sites(changed.graph).found:
        emit(site, quantized[site.name])
    got = runner.run(changed, samples, names)
    difference = [g[n] - e[n] for g, e in zip(got, expected, strict=True) for n in names]
    scale = [e[n] for e in expected for n in names]
    return np.linalg.norm(np.stack(difference)) / np.linalg.norm(np.stack(scale))


@pytest.mark.parametrize("symmetric", [True, False])
def test_better_than_round_to_nearest(tmp_path, symmetric):
    model = _encoder(tmp_path, 1)
    sites = find_sites(model.graph).found
    grids = {site.name: Grid(4, 32, symmetric) for site in sites}
    data = _data(model, 30)
    nearest = {s.name: Rtn().quantize(s.weight_KN(), grids[s.name]) for s in sites}
    learned = SignRound(iters=40, batch=6).quantize(model, sites, grids, data)
    assert list(learned) == list(nearest)
    assert _error(model, learned) < 0.8 * _error(model, nearest)


def test_same_bytes_with_any_number_of_threads(tmp_path, monkeypatch):
    model = _encoder(tmp_path, 1)
    sites = find_sites(model.graph).found
    grids = {site.name: Grid(4, 32) for site in sites}
    results = []
    for count in (1, 2, 3):
        monkeypatch.setattr(torch_runs, "processors", lambda count=count: count)
        results.append(SignRound(iters=6, batch=3).quantize(model, sites, grids, _data(model)))
    for other in results[1:]:
        for name, quantized in results[0].items():
            np.testing.assert_array_equal(quantized.levels_KN, other[name].levels_KN)
            np.testing.assert_array_equal(quantized.scale_GN, other[name].scale_GN)
    assert torch.get_num_threads() >= 1
    assert not torch.are_deterministic_algorithms_enabled()


def test_eight_bits_are_rounded_to_nearest(tmp_path):
    model = _encoder(tmp_path)
    sites = find_sites(model.graph).found
    grids = {site.name: Grid(8 if at % 2 else 4, 32) for at, site in enumerate(sites)}
    learned = SignRound(iters=3).quantize(model, sites, grids, _data(model))
    for at, site in enumerate(sites):
        nearest = Rtn().quantize(site.weight_KN(), grids[site.name])
        same = np.array_equal(nearest.levels_KN, learned[site.name].levels_KN)
        assert learned[site.name].grid == grids[site.name]
        assert same or not at % 2


@pytest.mark.parametrize("method", [SignRound(iters=1), Mkq(steps=1)])
def test_a_model_that_overflows_is_refused(tmp_path, method):
    model = _encoder(tmp_path, 1)
    scale = next(v for v in model.graph.initializers.values() if v.name == "embedding.scale")
    scale.const_value = ir.tensor(np.full(WIDTH, np.inf, np.float32), name="embedding.scale")
    sites = find_sites(model.graph).found
    grids = {site.name: Grid(4, 32) for site in sites}
    with pytest.raises(InputError, match=r"outputs behind MatMul_\d+: expected finite values"):
        method.quantize(model, sites, grids, _data(model, 1))


@pytest.mark.parametrize("options", [{"iters": 0}, {"batch": 0}, {"rate": -1.0}])
def test_wrong_options(options):
    with pytest.raises(InputError, match="expected at least"):
        SignRound(**options)
