"""What holds of every placer: feasible, repeatable, within its budget, pins kept."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim.problem import build_problem
from egrl.placers import PLACERS
from egrl.placers.base import Budget
from graph_ir.errors import UnmetRequirementError
from tests.accelerator_sim.cases import problems, random_pins
from tests.placers.support import TARGETS, check_result, random_problem

# The exact program, the portfolio and the agent take longer and have tests of their own.
QUICK = [name for name in PLACERS if name not in ("exact", "auto", "egrl-paper")]
SEARCHES = ["greedy-dp", "random", "anneal", "guided", "random-key"]
BUDGET = Budget(evaluations=400)


@pytest.mark.parametrize("name", QUICK)
@settings(max_examples=12)
@given(
    target=st.sampled_from(TARGETS),
    seed=st.integers(0, 2**32 - 1),
    ops=st.integers(1, 30),
    share=st.sampled_from((0.02, 0.1, 1.0)),
)
def test_the_result_is_feasible_and_within_budget(name, target, seed, ops, share):
    problem = random_problem(target, seed, ops, share)
    result = PLACERS[name]().place(problem, BUDGET, np.random.default_rng(seed))
    check_result(problem, result)
    # A placement without addresses is repaired, which takes a few evaluations more.
    assert result.evaluations <= BUDGET.evaluations + 8


@pytest.mark.parametrize("name", QUICK)
@settings(max_examples=15)
@given(problem=problems(max_ops=12), seed=st.integers(0, 2**32 - 1))
def test_on_machines_far_from_any_real_one(name, problem, seed):
    try:
        result = PLACERS[name]().place(problem, Budget(evaluations=60), np.random.default_rng(seed))
    except UnmetRequirementError:
        return
    check_result(problem, result)


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("target", TARGETS)
def test_the_same_seed_gives_the_same_bytes(name, target):
    problem = random_problem(target, 7, 40)
    again = random_problem(target, 7, 40)
    first = PLACERS[name]().place(problem, Budget(evaluations=3000), np.random.default_rng(5))
    second = PLACERS[name]().place(again, Budget(evaluations=3000), np.random.default_rng(5))
    assert first.homes_T.tobytes() == second.homes_T.tobytes()
    assert first.curve == second.curve
    assert first.evaluations == second.evaluations


@pytest.mark.parametrize("name", QUICK)
def test_pins_are_kept(name):
    free = random_problem("nnp-i-partitioned", 3, 25)
    for seed in range(4):
        pins = random_pins(free, np.random.default_rng(seed), 0.3)
        problem = build_problem(free.workload, free.accelerator, pins)
        try:
            result = PLACERS[name]().place(problem, BUDGET, np.random.default_rng(0))
        except UnmetRequirementError:
            continue
        check_result(problem, result)
        for t, tensor in enumerate(problem.workload.tensors):
            if tensor.name in pins:
                assert problem.home_name(int(result.homes_T[t])) == pins[tensor.name]


@pytest.mark.parametrize("name", SEARCHES)
def test_time_is_kept(name):
    problem = random_problem("nnp-i", 11, 60)
    placer = PLACERS[name]()
    placer.place(problem, Budget(evaluations=50), np.random.default_rng(0))
    began = time.monotonic()
    result = placer.place(problem, Budget(seconds=0.3), np.random.default_rng(0))
    assert time.monotonic() - began < 2.0
    check_result(problem, result)


@pytest.mark.parametrize("name", ["anneal", "guided", "random-key"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_search_is_no_worse_than_the_best_reference(name, target):
    problem = random_problem(target, 21, 50)
    rng = np.random.default_rng(0)
    references = [
        PLACERS[reference]().place(problem, Budget(), rng).latency_s
        for reference in ("native", "acts-first", "greedy")
    ]
    found = PLACERS[name]().place(problem, Budget(evaluations=5000), rng)
    assert found.latency_s <= min(references)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_problem_without_a_choice(name):
    free = random_problem("nnp-i", 2, 6)
    pins = {tensor.name: "DRAM" for tensor in free.workload.tensors}
    problem = build_problem(free.workload, free.accelerator, pins)
    result = PLACERS[name]().place(problem, Budget(evaluations=20), np.random.default_rng(0))
    assert not result.homes_T.any()


@pytest.mark.parametrize("name", SEARCHES)
def test_without_a_budget_a_search_ends(name):
    problem = random_problem("ethos-u65-512", 2, 5, wide=False)
    result = PLACERS[name]().place(problem, Budget(), np.random.default_rng(0))
    check_result(problem, result)
