"""Large-neighbourhood search: never worse than its start, repeatable, in time, any picker."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egrl.placers.base import Budget, no_progress
from egrl.placers.exact import Exact
from egrl.placers.lns import Lns
from egrl.placers.lns_pick import near_op, pick_random
from egrl.placers.random_search import RandomSearch
from egrl.placers.session import begin
from tests.placers.support import TARGETS, check_result, random_problem


@settings(max_examples=10)
@given(
    target=st.sampled_from(TARGETS),
    seed=st.integers(0, 2**32 - 1),
    ops=st.integers(1, 25),
    share=st.sampled_from((0.02, 0.1, 1.0)),
)
def test_it_fits_and_is_never_worse_than_its_start(target, seed, ops, share):
    problem = random_problem(target, seed, ops, share)
    rng = np.random.default_rng(seed)
    start = RandomSearch().place(problem, Budget(evaluations=5), rng)
    result = Lns(start_T=start.homes_T, nodes=20, walk_evaluations=50).place(
        problem, Budget(evaluations=150), rng
    )
    check_result(problem, result)
    assert result.latency_s <= start.latency_s
    assert result.evaluations <= 150 + 8


def test_solves_alone_come_near_the_optimum():
    problem = random_problem("nnp-i", 5, 12)
    exact = Exact().place(problem, Budget(seconds=20.0), np.random.default_rng(0))
    start = RandomSearch().place(problem, Budget(evaluations=1), np.random.default_rng(0))
    lns = Lns(start_T=start.homes_T, walk_evaluations=1, size=20)
    result = lns.place(problem, Budget(evaluations=1500), np.random.default_rng(0))
    assert result.latency_s < start.latency_s
    assert result.latency_s <= 1.02 * exact.latency_s


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    problem = random_problem("nnp-i", 9, 60)
    runs = [
        Lns(size=20, nodes=60).place(problem, Budget(evaluations=600), np.random.default_rng(seed))
        for seed in (1, 1, 2)
    ]
    assert runs[0].homes_T.tobytes() == runs[1].homes_T.tobytes()
    assert runs[0].curve == runs[1].curve
    assert runs[0].curve != runs[2].curve


def test_time_is_kept():
    problem = random_problem("nnp-i", 11, 150)
    lns = Lns()
    lns.place(problem, Budget(evaluations=200), np.random.default_rng(0))
    began = time.monotonic()
    result = lns.place(problem, Budget(seconds=0.6), np.random.default_rng(0))
    assert time.monotonic() - began < 2.0
    check_result(problem, result)


@pytest.mark.parametrize("ops", [4, 40])
def test_pickers_give_free_tensors_once_and_no_more_than_asked(ops):
    problem = random_problem("nnp-i", 3, ops)
    rng = np.random.default_rng(0)
    session = begin(problem, Budget(evaluations=100), rng, no_progress, None, 100)
    state = session.state(session.best_T)
    for size in (1, 7, 10_000):
        for _ in range(8):
            chosen = pick_random(session, state, size, rng)
            assert 0 < len(chosen) <= size
            assert len(set(chosen.tolist())) == len(chosen)
            assert np.isin(chosen, session.free).all()


def test_a_window_holds_what_its_op_uses():
    problem = random_problem("nnp-i", 3, 60)
    rng = np.random.default_rng(0)
    session = begin(problem, Budget(evaluations=100), rng, no_progress, None, 100)
    for op in (0, 30, 59):
        used = {operand.tensor for operand in problem.workload.ops[op].operands}
        free = used & set(session.free.tolist())
        assert free <= set(near_op(session, op, len(free), rng).tolist())
