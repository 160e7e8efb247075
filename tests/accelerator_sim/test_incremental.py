"""The incremental evaluation says after every move what the engine says of the whole placement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim import price_table
from accelerator_sim.engine import evaluate
from accelerator_sim.incremental.live import overflow
from accelerator_sim.incremental.moves import build_state, reset, set_home
from accelerator_sim.incremental.retime import forget, keep, retime
from accelerator_sim.incremental.state import KEPT, LAST, TOTAL, build_tables
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import TARGETS, load_target
from egrl.bench.random_graphs import random_workload
from tests.accelerator_sim.cases import problems, random_homes, varied_workload

SAME = 1e-11


def check_moves(problem: PlacementProblem, seed: int, moves: int) -> None:
    rng = np.random.default_rng(seed)
    tables = build_tables(problem)
    homes_T = random_homes(problem, rng, 1)[0]
    state = build_state(tables, homes_T)
    latency_s, over = evaluate(problem, homes_T)
    assert state.mark_SMF[KEPT, -1, TOTAL] == pytest.approx(latency_s, rel=SAME)
    assert overflow(tables, state) == over
    for _ in range(moves):
        before = state.homes_T.copy()
        changed = []
        for _ in range(int(rng.integers(1, 5))):
            t = int(rng.integers(problem.tensor_count))
            changed.append((t, int(state.homes_T[t])))
            set_home(tables, state, t, int(rng.choice(np.flatnonzero(problem.allowed_TH[t]))))
            if rng.random() < 0.2:
                retime(tables, state)
        latency_s, over = evaluate(problem, state.homes_T)
        assert overflow(tables, state) == over
        assert retime(tables, state) == pytest.approx(latency_s, rel=SAME)
        if rng.random() < 0.5:
            keep(state)
            assert state.mark_SMF[KEPT, -1, TOTAL] == pytest.approx(latency_s, rel=SAME)
        else:
            for t, home in reversed(changed):
                set_home(tables, state, t, home)
            forget(state)
            assert (state.homes_T == before).all()
    kept_s = state.mark_SMF[KEPT, -1, TOTAL]
    assert reset(tables, state) == pytest.approx(kept_s, rel=SAME)


@given(problem=problems(max_ops=30), seed=st.integers(0, 2**32 - 1))
def test_every_move_is_timed_as_by_the_engine(problem, seed):
    check_moves(problem, seed, 12)


@pytest.mark.parametrize("target", TARGETS)
def test_on_shipped_targets(target):
    accelerator = load_target(target)
    workload = varied_workload(7, 25, accelerator.default_type, fan_in=9)
    check_moves(build_problem(workload, accelerator), 7, 12)


@given(problem=problems(max_ops=8), seed=st.integers(0, 2**32 - 1))
def test_ops_without_a_table_too(problem, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(price_table, "MAX_COMBINATIONS", 3)
        untabled = build_problem(problem.workload, problem.accelerator)
    check_moves(untabled, seed, 8)


@pytest.mark.parametrize("target", ["nnp-i", "nnp-i-partitioned", "ethos-u65-512"])
def test_a_move_walks_only_part_of_a_long_timeline(target):
    accelerator = load_target(target)
    rng = np.random.default_rng(3)
    problem = build_problem(random_workload(400, rng, accelerator.default_type), accelerator)
    tables = build_tables(problem)
    state = build_state(tables, np.zeros(problem.tensor_count, np.int8))
    walked = []
    for t in problem.free_tensors.tolist():
        set_home(tables, state, t, int(np.flatnonzero(problem.allowed_TH[t])[-1]))
        retime(tables, state)
        walked.append(int(state.counter_F[LAST]) - int(np.min(state.counter_F[1])))
        set_home(tables, state, t, 0)
        forget(state)
    assert np.median(walked) < 40
