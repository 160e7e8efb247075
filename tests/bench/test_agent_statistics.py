"""Interquartile means and bootstrap intervals against cases worked out by hand."""

import numpy as np
import pytest

from egrl.bench.agent.statistics import (
    Interval,
    first_within,
    interquartile_mean,
    interval,
    mean,
    value_at,
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], 4.5),  # 3, 4, 5, 6
        ([8, 100, 3, 1, 6, -50, 4, 2], (2 + 3 + 4 + 6) / 4),
        ([1, 2, 3], 2.0),  # nothing to cut
        ([1, 2, 3, 40], 2.5),
        ([1, 2, 3, np.inf], 2.5),
        ([1, np.inf, np.inf, np.inf], np.inf),
        ([7], 7.0),
    ],
)
def test_interquartile_mean_is_that_of_the_middle_half(values, expected):
    assert interquartile_mean(np.array([values], np.float64))[0] == expected


def test_every_resample_is_a_row():
    rows = np.array([[1.0, 2, 3, 40], [5, 5, 5, 5]])
    assert interquartile_mean(rows).tolist() == [2.5, 5.0]


def test_a_single_run_per_problem_leaves_nothing_to_draw():
    assert interval([[1.0], [3.0]], mean) == Interval(2.0, 2.0, 2.0)


def test_resampling_stays_within_problems():
    # Each problem's runs are alike: drawing across problems would show as a spread.
    assert interval([[1.0] * 5, [9.0] * 5], mean) == Interval(5.0, 5.0, 5.0)


def test_interval_of_a_coin_is_that_of_the_binomial():
    # The mean of 10 fair coins lies within 0.2 and 0.8 in 97.9 % of draws, within 0.3 and 0.7 in
    # 89.1 %: the 2.5th and 97.5th percentiles are 0.2 and 0.8.
    found = interval([[0.0, 1.0] * 5], mean, resamples=20_000)
    assert (found.low, found.mid, found.high) == (pytest.approx(0.2), 0.5, pytest.approx(0.8))


def test_interval_narrows_with_runs_and_repeats_with_the_seed():
    few = interval([list(np.linspace(0, 1, 5))], mean)
    many = interval([list(np.linspace(0, 1, 50))], mean)
    assert many.high - many.low < few.high - few.low
    assert interval([[0.0, 1.0, 5.0]], seed=3) == interval([[0.0, 1.0, 5.0]], seed=3)


def test_interval_with_runs_that_found_nothing_is_not_nan():
    found = interval([[0.1, 0.2, np.inf, np.inf]])
    assert found.low >= 0.1
    assert found.high == np.inf
    assert not np.isnan([found.low, found.mid, found.high]).any()


def test_intervals_that_touch_overlap():
    assert Interval(0, 1, 2).below(Interval(2.1, 3, 4))
    assert not Interval(0, 1, 2).below(Interval(2, 3, 4))
    assert not Interval(2.1, 3, 4).below(Interval(0, 1, 2))


def test_value_of_a_curve_is_that_of_the_last_step():
    curve = [(1.0, 9.0), (10.0, 5.0), (20.0, 4.0)]
    assert value_at(curve, 0.5) == np.inf
    assert value_at(curve, 1.0) == 9.0
    assert value_at(curve, 19.9) == 5.0
    assert value_at(curve, 20.0) == 4.0
    assert value_at([], 3.0) == np.inf


def test_first_point_within_a_limit():
    curve = [(1.0, 9.0), (10.0, 5.0), (20.0, 4.0)]
    assert first_within(curve, 5.0) == 10.0
    assert first_within(curve, 4.5) == 20.0
    assert first_within(curve, 3.9) == np.inf
