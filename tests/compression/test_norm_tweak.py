"""Norm tweaking: the solution of its least squares, and what it does to a model."""

import numpy as np
import pytest

from egrl.compression.compress import Compression, compress
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.compression.emit import emit, needed_opset
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.norm_tweak import NormTweak
from graph_ir.compression.norm_tweak_sites import find_norms
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError
from graph_ir.opset import raise_opset
from tests.compression.decoders import NORMS, Decoder, ids, loaded, logits


def quantized(model):
    """Rounds all weights in place; source and pairs as corrections get them."""
    raise_opset(model, needed_opset(4), "m")
    source, pairs = model.clone(), {}
    for site in find_sites(model.graph).found:
        weight_KN = site.weight_KN()
        pairs[site.name] = (weight_KN, Rtn().quantize(weight_KN, Grid(group=16)))
        emit(site, pairs[site.name][1])
    return source, pairs


@pytest.mark.parametrize("norm", NORMS)
def test_norms_of_every_form_are_found(tmp_path, norm):
    model = loaded(Decoder(32, norm), tmp_path).graph_model
    _, pairs = quantized(model)
    found = find_norms(model.graph, pairs)
    assert [len(one.readers) for one in found] == [3, 2, 1]
    assert all((one.bias is not None) == norm.startswith("layer") for one in found)


@pytest.mark.parametrize("norm", NORMS)
def test_outputs_get_closer(tmp_path, norm):
    model = loaded(Decoder(32, norm, biases=norm == "layer"), tmp_path).graph_model
    feeds = ids(40)
    before = logits(model, feeds)
    source, pairs = quantized(model)
    rounded = np.linalg.norm(logits(model, feeds) - before)
    NormTweak().correct(model, source, pairs, Data(feeds, OnnxRuntimeRunner(), 0, True))
    assert np.linalg.norm(logits(model, feeds) - before) < rounded
    assert np.array_equal(logits(source, feeds), before)


@pytest.mark.parametrize("norm", ["rms", "layer-op"])
def test_first_norm_is_the_least_squares_solution(tmp_path, norm):
    model = loaded(Decoder(32, norm), tmp_path).graph_model
    feeds = ids(40)
    source, pairs = quantized(model)
    runner = OnnxRuntimeRunner()
    first = find_norms(model.graph, pairs)[0]
    names = [first.value.name]
    x = np.concatenate([f[names[0]].reshape(-1, 32) for f in runner.run(source, feeds, names)])
    bias = first.bias_K()
    rows, targets = [], []
    for name in first.readers:
        weight, stored = pairs[name]
        rounded = stored.dequantized().astype(np.float64)
        wanted = x @ weight.astype(np.float64)
        size = np.sqrt((wanted**2).sum() / len(x))
        columns = [np.einsum("rc,cn->rnc", x - bias, rounded).reshape(-1, 32)]
        if norm == "layer-op":
            columns.append(np.tile(rounded.T, (len(x), 1)))
        rows.append(np.concatenate(columns, axis=1) / size)
        targets.append((wanted - bias @ rounded).reshape(-1) / size)
    solved = np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets), rcond=None)[0]
    old = first.scale.node.inputs[first.scale.index].const_value.numpy().reshape(-1)
    NormTweak(tweak_damping=1e-9).correct(model, source, pairs, Data(feeds, runner, 0, True))
    new = first.scale.node.inputs[first.scale.index].const_value.numpy().reshape(-1)
    assert np.allclose(new / old, solved[:32], atol=2e-3)
    if norm == "layer-op":
        moved = first.bias_K() - bias
        assert np.allclose(moved, solved[32:], atol=2e-3)


def test_much_damping_changes_nothing(tmp_path):
    model = loaded(Decoder(32), tmp_path).graph_model
    source, pairs = quantized(model)
    before = logits(model, ids())
    data = Data(ids(), OnnxRuntimeRunner(), 0, True)
    NormTweak(tweak_damping=1e6).correct(model, source, pairs, data)
    assert np.allclose(logits(model, ids()), before, atol=1e-4)


def test_behind_lorc_it_is_refused(tmp_path):
    with pytest.raises(InputError, match="norm-tweak: expected a norm that is read by quantized"):
        compress(loaded(Decoder(32), tmp_path), Compression(("int4:rtn+lorc+norm-tweak,rank=4",)))


def test_before_lorc_on_the_command_line(tmp_path):
    asked = Compression(("int4:rtn+norm-tweak+lorc,rank=4,group=16",))
    done = compress(loaded(Decoder(32), tmp_path), asked)
    notes = done.details[0].record.notes
    assert notes[0].startswith("norm-tweak: 3 norms")
    assert notes[1].startswith("lorc: rank 4 (int8) beside")


def test_no_damping_is_one_line(tmp_path):
    with pytest.raises(InputError, match="tweak-damping=0: expected more than 0"):
        compress(
            loaded(Decoder(32), tmp_path), Compression(("int4:rtn+norm-tweak,tweak-damping=0",))
        )
