"""The radix sort against a stable sort of the library."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from egrl.placers.falling import FEW, falling

FINITE = st.floats(allow_nan=False, width=64)


@given(st.lists(FINITE, max_size=40), st.integers(0, 2**32 - 1))
def test_order_is_that_of_a_stable_sort(values, seed):
    """Few different values repeated, so that most have an equal."""
    rng = np.random.default_rng(seed)
    values = np.array([*values, 0.0, -0.0, np.inf, -np.inf])
    key_N = values[rng.integers(0, len(values), 2 * FEW)]
    assert falling(key_N).tolist() == np.argsort(-key_N, kind="stable").tolist()


@given(arrays.arrays(np.float64, st.integers(0, 3 * FEW), elements=st.floats(-4, 4, width=64)))
def test_any_length(key_N):
    before = key_N.copy()
    assert falling(key_N).tolist() == np.argsort(-key_N, kind="stable").tolist()
    assert (key_N == before).all()


@pytest.mark.parametrize("count", [FEW - 1, FEW, FEW + 1, 5000])
def test_keys_that_differ_in_their_last_bits_only(count):
    rng = np.random.default_rng(count)
    key_N = 1.0 + rng.integers(0, 50, count) * np.finfo(np.float64).eps
    key_N[::3] *= -1.0
    assert falling(key_N).tolist() == np.argsort(-key_N, kind="stable").tolist()
