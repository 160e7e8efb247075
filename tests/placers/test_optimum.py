"""Tiny problems, all of whose placements are tried: the searches find the best of them."""

import numpy as np
import pytest

from accelerator_sim.addresses import has_addresses
from accelerator_sim.engine import evaluate_batch
from accelerator_sim.problem import PlacementProblem
from egrl.placers import PLACERS
from egrl.placers.base import Budget
from tests.placers.knapsack import knapsack
from tests.placers.support import TARGETS, check_result, every_placement, random_problem

SEARCHES = ["random", "anneal", "guided", "random-key"]


def optimum_s(problem: PlacementProblem) -> float:
    homes_PT = every_placement(problem)
    assert len(homes_PT) < 300_000
    found = evaluate_batch(problem, homes_PT)
    latency_P = np.where(found.feasible_P, found.latency_s_P, np.inf)
    for p in np.argsort(latency_P, kind="stable"):
        if has_addresses(problem, homes_PT[p]):
            return float(latency_P[p])
    raise AssertionError("no placement is feasible")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", range(6))
def test_searches_find_the_optimum(target, seed):
    problem = random_problem(target, seed, 4 if target != "ethos-u65-512" else 6, 0.03)
    best_s = optimum_s(problem)
    for name in SEARCHES:
        budget = Budget(evaluations=20_000)
        result = PLACERS[name]().place(problem, budget, np.random.default_rng(seed))
        check_result(problem, result)
        assert result.latency_s == pytest.approx(best_s, rel=1e-9), name


@pytest.mark.parametrize("name", ["anneal", "guided", "random-key"])
def test_a_knapsack_that_density_gets_wrong(name):
    # The densest item leaves no room for the two that would fill the knapsack.
    problem = knapsack(sizes=[600, 500, 500], uses=[4, 3, 3], inner_bytes=1000 + 64)
    best_s = optimum_s(problem)
    greedy_s = PLACERS["greedy"]().place(problem, Budget(), np.random.default_rng(0)).latency_s
    assert greedy_s > best_s * 1.05
    result = PLACERS[name]().place(problem, Budget(evaluations=5_000), np.random.default_rng(0))
    assert result.latency_s == pytest.approx(best_s)
