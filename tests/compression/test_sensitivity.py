"""Sensitivity of weights: against measuring each; and which grids follow from it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egrl.compression.compress import Compression, compress
from egrl.compression.joint.sensitivity import single_errors
from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.sensitivity import (
    Mixed,
    candidate_grids,
    grids_within,
    measure_sensitivities,
)
from graph_ir.compression.grid import Grid
from graph_ir.compression.method import Data
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from graph_ir.errors import InputError, UnmetRequirementError
from tests.compression.chains import loaded, residual_model
from tests.compression.test_stages import samples


def test_scaled_errors_are_near_measured_ones(tmp_path):
    model = loaded(residual_model(), tmp_path).graph_model
    sites = find_sites(model.graph).found
    data = Data(tuple(samples(2)), OnnxRuntimeRunner(), 0, False)
    grids = candidate_grids(Grid(4, 32))
    got = measure_sensitivities(model, sites, grids, data)
    exact = single_errors(model, grids, Rtn().quantize, data.samples, data.runner)
    assert set(got) == set(exact) == {(s.name, g) for s in sites for g in grids}
    # Half or twice an error decides little: between 4 and 8 bits there is a factor of 250.
    ratios = np.array([got[key] / exact[key] for key in got])
    assert np.abs(np.log2(ratios)).max() < 1
    assert len({site for site, _ in got}) == len(sites)


class Sized:
    """A site as far as bits go."""

    def __init__(self, name, inner, columns):
        self.name, self.inner, self.columns = name, inner, columns


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9), st.floats(0.01, 100)), min_size=1),
    st.floats(4.13, 9),
)
def test_grids_keep_to_the_average_and_no_single_step_is_left(parts, average):
    sites = [Sized(f"s{i}", 128 * k, 16 * n) for i, (k, n, _) in enumerate(parts)]
    grids = candidate_grids(Grid(4, 32))
    errors = {
        (site.name, grid): weight * 4.0**-grid.bits * (1 + grid.group / 64)
        for site, (_, _, weight) in zip(sites, parts, strict=True)
        for grid in grids
    }
    chosen = grids_within(sites, grids, errors, average)
    elements = sum(site.inner * site.columns for site in sites)
    used = sum(chosen[s.name].stored_bits(s.inner, s.columns) for s in sites)
    assert used <= average * elements + 1e-6
    finest = min(grids, key=lambda g: errors["s0", g])
    if average >= 8.5:
        assert set(chosen.values()) == {finest}


def test_grids_are_the_best_where_all_can_be_tried():
    rng = np.random.default_rng(3)
    grids = candidate_grids(Grid(4, 32))
    sites = [Sized(f"s{i}", 256, 32) for i in range(4)]
    errors = {
        (s.name, g): float(rng.exponential() * 4.0**-g.bits * g.group) for s in sites for g in grids
    }
    for average in (4.2, 4.5, 5.3, 6.4, 8.2):
        chosen = grids_within(sites, grids, errors, average)
        got = sum(errors[name, grid] for name, grid in chosen.items())
        best = min(
            sum(errors[s.name, g] for s, g in zip(sites, trial, strict=True))
            for trial in itertools.product(grids, repeat=len(sites))
            if sum(g.stored_bits(256, 32) for g in trial) <= average * 256 * 32 * len(sites)
        )
        worst_step = max(errors.values())
        assert got <= best + worst_step


def test_sensitive_weights_get_more_bits():
    sites = [Sized("dull", 256, 64), Sized("keen", 256, 64)]
    grids = candidate_grids(Grid(4, 32))
    errors = {("dull", g): 1e-6 / g.bits for g in grids} | {
        ("keen", g): 4.0**-g.bits for g in grids
    }
    chosen = grids_within(sites, grids, errors, 6.2)
    assert chosen["keen"].bits == 8
    assert chosen["dull"].bits == 4


def test_too_few_bits_are_refused():
    sites, grids = [Sized("s", 128, 16)], candidate_grids(Grid(4, 32))
    errors = {("s", grid): 1.0 for grid in grids}
    with pytest.raises(UnmetRequirementError, match=r"need at least 4\.125 bits"):
        grids_within(sites, grids, errors, 4.0)
    with pytest.raises(InputError, match=r"average-bits=0\.5"):
        Mixed(0.5)


def test_mixed_bits_beat_uniform_ones_of_the_same_size(tmp_path):
    errors, bits = [], []
    for text in ("int4:rtn", "int4:rtn,average-bits=4.5"):
        done = compress(loaded(residual_model(), tmp_path), Compression((text,)))
        layers = done.details[0].record.layers
        errors.append(done.error)
        bits.append(sum(x.stored_bits for x in layers) / sum(x.elements for x in layers))
    assert bits[1] <= bits[0] + 1e-9
    assert errors[1] <= errors[0] * 1.05
