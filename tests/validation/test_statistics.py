"""Errors and rank correlation, by hand."""

import pytest

from egrl.validation.result import Point
from egrl.validation.statistics import spearman, summarize


def test_spearman_with_ties():
    # Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: covariance 4.5, variances 4.5 and 5.
    assert spearman([1, 2, 2, 3], [10, 30, 20, 40]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert spearman([1, 2, 3], [9, 5, 1]) == pytest.approx(-1.0)
    assert spearman([1, 1, 1], [1, 2, 3]) is None


def test_summary_leaves_out_what_has_no_reference():
    points = [Point("a", 100, 90), Point("b", 10, 14), Point("c", 0, 5), Point("d", 4, 4)]
    summary = summarize(points)
    assert summary.count == 3
    assert summary.mean_error == pytest.approx(0.5 / 3)
    assert summary.median_error == pytest.approx(0.1)
    assert (summary.worst_error, summary.worst_name) == (pytest.approx(0.4), "b")
    assert summarize([Point("c", 0, 5)]) is None
