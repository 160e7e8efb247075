"""The portfolio: what holds of its members together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim.problem import build_problem
from egrl.placers import PLACERS, auto
from egrl.placers.auto import Auto
from egrl.placers.base import Budget
from tests.placers.knapsack import knapsack
from tests.placers.support import TARGETS, check_result, random_problem
from tests.placers.test_no_room import CAPACITY, with_outermost
from tests.placers.test_optimum import optimum_s

REFERENCES = ("all-outermost", "native", "acts-first", "greedy")


@settings(max_examples=8)
@given(
    target=st.sampled_from(TARGETS),
    seed=st.integers(0, 2**32 - 1),
    ops=st.integers(1, 25),
    share=st.sampled_from((0.02, 0.1, 1.0)),
)
def test_it_is_feasible_repeats_and_keeps_its_bound(target, seed, ops, share):
    problem = random_problem(target, seed, ops, share)
    budget = Budget(evaluations=400)
    first, second = (Auto().place(problem, budget, np.random.default_rng(3)) for _ in range(2))
    check_result(problem, first)
    assert first.homes_T.tobytes() == second.homes_T.tobytes()
    assert first.curve == second.curve
    assert first.evaluations <= budget.evaluations + 16  # repairs, and the solver's placement
    assert first.lower_bound_s is not None
    assert first.lower_bound_s <= first.latency_s * (1 + 1e-9)
    for name in REFERENCES:
        other = PLACERS[name]().place(problem, Budget(), np.random.default_rng(0))
        assert first.latency_s <= other.latency_s * (1 + 1e-12), name


@pytest.mark.parametrize("budget", [Budget(evaluations=5_000), Budget(seconds=2.0)])
def test_a_knapsack_that_density_gets_wrong_is_proven(budget):
    problem = knapsack(sizes=[600, 500, 500], uses=[4, 3, 3], inner_bytes=1000 + 64)
    result = Auto().place(problem, budget, np.random.default_rng(0))
    assert result.latency_s == pytest.approx(optimum_s(problem))
    assert result.latency_s <= (1 + auto.PROVEN_GAP) * result.lower_bound_s


@pytest.mark.parametrize("budget", [Budget(evaluations=50), Budget(seconds=1.0)])
def test_where_there_is_nothing_to_choose_the_placement_is_its_own_bound(budget):
    free = random_problem("nnp-i", 1, 12, 1.0)
    native = PLACERS["native"]().place(free, Budget(), np.random.default_rng(0))
    pins = {
        tensor.name: free.home_name(int(home))
        for tensor, home in zip(free.workload.tensors, native.homes_T, strict=True)
    }
    problem = build_problem(free.workload, free.accelerator, pins)
    assert not len(problem.free_tensors)
    result = Auto().place(problem, budget, np.random.default_rng(0))
    check_result(problem, result)
    assert result.lower_bound_s == pytest.approx(result.latency_s)
    assert result.latency_s == pytest.approx(native.latency_s)


@pytest.mark.parametrize("name", ["auto", "egrl"])
def test_what_does_not_fit_is_explained(name):
    workload, machine = with_outermost(CAPACITY)
    problem = build_problem(workload, machine)
    for budget in (Budget(evaluations=100), Budget(seconds=1.0)):
        with pytest.raises(Exception, match="all memories together") as caught:
            PLACERS[name]().place(problem, budget, np.random.default_rng(0))
        assert any("What would help" in line for line in caught.value.details)


def test_no_program_is_built_for_which_there_is_no_time():
    problem = random_problem("nnp-i", 5, 40)
    said = []
    seconds = auto.BUILD_SECONDS * problem.op_count / auto.BUILD_SHARE / 2
    Auto().place(
        problem,
        Budget(seconds=seconds),
        np.random.default_rng(0),
        lambda line, _: said.append(line),
    )
    assert any("no exact program: 40 ops" in line for line in said)
    assert "bound proven" not in said


def test_an_interrupt_keeps_the_best():
    problem = random_problem("nnp-i", 6, 30)
    seen = []

    def interrupt(_line, best_s):
        seen.append(best_s)
        if len(seen) == 2:
            raise KeyboardInterrupt

    result = Auto().place(problem, Budget(seconds=30.0), np.random.default_rng(0), interrupt)
    check_result(problem, result)
    assert result.latency_s == seen[1]
    assert result.seconds < 20.0
