import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from graph_ir.errors import InputError
from runtime.generation.sampling import Sampling, choose

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))


def draws(sampling, count=2000, logits=LOGITS):
    return [choose(logits, sampling, position) for position in range(count)]


def test_no_temperature_takes_the_likeliest_and_of_equals_the_first():
    assert choose(LOGITS, Sampling(), 0) == 1
    assert choose(np.array([1.0, 3.0, 3.0]), Sampling(seed=5), 7) == 1


def test_draws_follow_the_probabilities():
    counts = np.bincount(draws(Sampling(temperature=1.0, seed=1)), minlength=4) / 2000
    np.testing.assert_allclose(counts, [0.1, 0.4, 0.2, 0.3], atol=0.04)


def test_temperature_sharpens():
    counts = np.bincount(draws(Sampling(temperature=0.5, seed=2)), minlength=4) / 2000
    expected = np.array([0.01, 0.16, 0.04, 0.09]) / 0.3
    np.testing.assert_allclose(counts, expected, atol=0.04)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.39, {1}), (0.41, {1, 3}), (0.71, {1, 2, 3}), (1.0, {0, 1, 2, 3})]
)
def test_the_nucleus_is_the_fewest_tokens_that_reach_the_share(top_p, kept):
    assert set(draws(Sampling(temperature=1.0, top_p=top_p, seed=3))) == kept


def test_a_draw_depends_on_seed_and_position_alone():
    one, two = Sampling(1.0, 0.9, 7), Sampling(1.0, 0.9, 8)
    assert draws(one, 50) == draws(one, 50)
    assert draws(one, 50) != draws(two, 50)
    assert [choose(LOGITS, one, p) for p in reversed(range(50))] == draws(one, 50)[::-1]


@given(
    arrays(np.float32, st.integers(1, 30), elements=st.floats(-50, 50, width=32)),
    st.floats(0.01, 5),
    st.floats(0.001, 1),
    st.integers(0, 100),
)
def test_the_choice_is_always_in_the_nucleus(logits, temperature, top_p, seed):
    token = choose(logits, Sampling(temperature, top_p, seed), seed)
    wide = logits.astype(np.float64) / temperature
    probabilities = np.exp(wide - wide.max())
    probabilities /= probabilities.sum()
    likelier = probabilities[probabilities > probabilities[token]].sum()
    assert likelier <= top_p + 1e-9
    assert probabilities[token] > 0


def test_impossible_tokens_are_never_drawn():
    logits = np.array([-np.inf, 0.0, -np.inf], np.float32)
    assert set(draws(Sampling(temperature=2.0), 100, logits)) == {1}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(bad):
    with pytest.raises(InputError, match="position 4"):
        choose(np.array([0.0, bad]), Sampling(), 4)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"seed": -1},
    ],
)
def test_values_out_of_range(options):
    with pytest.raises(InputError, match="expected"):
        Sampling(**options)
