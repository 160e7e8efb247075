"""Rectify: what fits stays, what does not is demoted, cheapest first, until it fits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier, rectify
from accelerator_sim.reference_engine import live_bytes, uses_staging
from accelerator_sim.value import value_tensors
from graph_ir.errors import UnmetRequirementError
from tests.accelerator_sim.cases import problems, random_homes
from tests.placers.knapsack import knapsack


def fits(problem: PlacementProblem, homes: list[int]) -> bool:
    """By counting, tier by tier and op by op."""
    tiers = problem.accelerator.tiers
    ring = problem.accelerator.streaming.staging_bytes if uses_staging(problem, homes) else 0
    limits = [int(tier.capacity_bytes.value) for tier in tiers]
    limits[-1] -= ring
    return all(
        used <= limit
        for row in live_bytes(problem, homes)
        for used, limit in zip(row, limits, strict=True)
    )


@given(problem=problems(max_ops=25), seed=st.integers(0, 2**32 - 1))
def test_the_result_fits_and_only_moved_outwards(problem, seed):
    tier_H = problem.arrays.tier_H
    for homes_T in random_homes(problem, np.random.default_rng(seed), 3):
        before = homes_T.copy()
        if not build_rectifier(problem).batch(homes_T[np.newaxis, :]).fits_P[0]:
            assert not fits(problem, homes_T.tolist())
            with pytest.raises(UnmetRequirementError, match=r"needed at|demoting"):
                rectify(problem, homes_T)
            continue
        rectified = rectify(problem, homes_T)
        after = rectified.homes_T
        assert (homes_T == before).all()
        assert fits(problem, after.tolist())
        assert evaluate(problem, after)[1] <= 0
        assert problem.allowed_TH[np.arange(len(after)), after].all()
        moved = after != before
        assert (tier_H[after][moved] < tier_H[before][moved]).all()
        sizes = [0 if t.alias_of is not None else t.size_bytes for t in problem.workload.tensors]
        assert rectified.moved_bytes == sum(np.array(sizes)[moved])
        assert rectified.moved_share == pytest.approx(rectified.moved_bytes / max(1, sum(sizes)))
        if fits(problem, before.tolist()):
            assert not moved.any()


@given(problem=problems(max_ops=15), seed=st.integers(0, 2**32 - 1))
def test_a_rectified_placement_stays_as_it_is(problem, seed):
    rectifier = build_rectifier(problem)
    once = rectifier.batch(random_homes(problem, np.random.default_rng(seed), 8))
    twice = rectifier.batch(once.homes_PT)
    good = once.fits_P
    assert (twice.homes_PT[good] == once.homes_PT[good]).all()
    assert (twice.moved_share_P[good] == 0.0).all()
    assert (twice.fits_P[good]).all()


def test_the_cheapest_per_byte_go_first():
    # Room for two of three equally large weights; the one that saves least has to go.
    problem = knapsack(sizes=[1000, 1000, 1000], uses=[3, 1, 2], inner_bytes=2000)
    homes_T = rectify(problem, np.full(problem.tensor_count, 1, np.int8)).homes_T
    names = [t.name for t in problem.workload.tensors]
    inner = {name for name, home in zip(names, homes_T, strict=True) if home == 1}
    assert "weight1" not in inner
    assert {"weight0", "weight2"} <= inner


def test_what_turns_out_not_to_have_had_to_move_goes_back():
    # By density the two small ones would go first, and then the large one has to go anyway.
    problem = knapsack(sizes=[100, 100, 4000], uses=[1, 1, 50], inner_bytes=3000)
    homes_T = rectify(problem, np.full(problem.tensor_count, 1, np.int8)).homes_T
    names = [t.name for t in problem.workload.tensors]
    home = dict(zip(names, homes_T.tolist(), strict=True))
    assert home["weight2"] == 0
    assert home["weight0"] == 1
    assert home["weight1"] == 1


@given(problem=problems(max_ops=10))
def test_the_ideal_home_is_the_one_that_takes_least_time(problem):
    values = value_tensors(problem)
    allowed = problem.allowed_TH
    assert np.isfinite(values.seconds_TH[allowed]).all()
    assert np.isinf(values.seconds_TH[~allowed]).all()
    least_T = np.where(allowed, values.seconds_TH, np.inf).min(axis=1)
    rows = np.arange(problem.tensor_count)
    assert values.seconds_TH[rows, values.ideal_T] == pytest.approx(least_T, abs=2e-12)
    for t, order in enumerate(values.order_TH.tolist()):
        listed = [home for home in order if home >= 0]
        assert sorted(listed) == np.flatnonzero(allowed[t]).tolist()
        tiers = [int(problem.arrays.tier_H[home]) for home in listed]
        assert tiers == sorted(tiers, reverse=True)


@given(problem=problems(max_ops=10))
def test_orders_of_homes_are_those_of_sorting_one_tensor_at_a_time(problem):
    values = value_tensors(problem)
    tier_H, size_TH = problem.arrays.tier_H.tolist(), problem.arrays.size_bytes_TH
    outward_TH = build_rectifier(problem, values=values).outward_TH
    for t, allowed_H in enumerate(problem.allowed_TH):
        order = sorted(
            np.flatnonzero(allowed_H).tolist(),
            key=lambda h: (-tier_H[h], values.seconds_TH[t, h], size_TH[t, h], h),
        )
        rest = [-1] * (len(tier_H) - len(order))
        assert values.order_TH[t].tolist() == order + rest
        for home, tier in enumerate(tier_H):
            further = [h for h in order if tier_H[h] < tier]
            assert outward_TH[t, home] == (further[0] if further else -1)
    tensors = problem.workload.tensors
    size_T = [0 if tensor.alias_of is not None else tensor.size_bytes for tensor in tensors]
    ties = sorted(range(len(tensors)), key=lambda t: (-size_T[t], tensors[t].start, t))
    assert build_rectifier(problem).ties_T.tolist() == ties
