"""The program of a few tensors against all placements of them, and against the whole program."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accelerator_sim.engine import evaluate_batch
from accelerator_sim.incremental.moves import build_state, reset
from accelerator_sim.incremental.state import KEPT, TOTAL, build_tables
from accelerator_sim.problem import PlacementProblem
from egrl.placers import neighbourhood
from egrl.placers.exact import exact_program
from egrl.placers.milp import Limits, solve_program
from egrl.placers.neighbourhood import build_neighbourhood
from tests.exact.small import every_placement, small_problems, streaming_problems
from tests.placers.support import random_problem

SLACK = 1e-6
LIMITS = Limits(nodes=10_000, relative_gap=1e-9)


def fitting(problem: PlacementProblem) -> np.ndarray:
    """All placements of a small problem that fit."""
    homes_PT = every_placement(problem)
    return homes_PT[evaluate_batch(problem, homes_PT).feasible_P]


def seconds_of(problem: PlacementProblem, homes_T: np.ndarray, ops: np.ndarray) -> float:
    """What the engine gives some ops."""
    state = build_state(build_tables(problem), homes_T)
    return float(np.diff(state.mark_SMF[KEPT, :, TOTAL])[ops].sum())


def check_against_all(problem: PlacementProblem, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    homes_PT = fitting(problem)
    assume(len(homes_PT) > 0)
    start_T = homes_PT[rng.integers(len(homes_PT))]
    tables = build_tables(problem)
    state = build_state(tables, start_T)
    chosen = rng.permutation(problem.tensor_count)[:count]
    near = build_neighbourhood(tables, state, tables.capacity_bytes_L, chosen)
    if near is None:
        assert (problem.allowed_TH[chosen].sum(axis=1) == 1).all()
        return
    solved = solve_program(near.program, LIMITS)
    found_T = near.homes(solved, start_T)
    assert found_T is not None, "the placement that it began with is a solution"
    fixed = np.setdiff1d(np.arange(problem.tensor_count), near.tensors)
    assert (found_T[fixed] == start_T[fixed]).all()
    assert any(np.array_equal(found_T, homes_T) for homes_T in homes_PT)
    same_PT = homes_PT[(homes_PT[:, fixed] == start_T[fixed]).all(axis=1)]
    least_s = min(seconds_of(problem, homes_T, near.ops) for homes_T in same_PT)
    assert near.bound_s(solved) <= least_s * (1 + SLACK)


@settings(max_examples=60)
@given(small_problems(), st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_no_choice_of_the_free_tensors_beats_the_bound(problem, seed, count):
    check_against_all(problem, seed, count)


@settings(max_examples=60)
@given(streaming_problems(), st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_the_bound_where_streams_matter(problem, seed, count):
    check_against_all(problem, seed, count)


@settings(max_examples=40)
@given(streaming_problems())
def test_with_all_tensors_free_it_is_no_looser_than_the_whole_program(problem):
    homes_PT = fitting(problem)
    assume(len(homes_PT) > 0)
    tables = build_tables(problem)
    state = build_state(tables, homes_PT[0])
    near = build_neighbourhood(tables, state, tables.capacity_bytes_L, problem.free_tensors)
    assume(near is not None and len(near.ops) == problem.op_count)
    assert near is not None
    exact = exact_program(problem, homes_PT[0])
    whole_s = exact.lower_bound_s(solve_program(exact.program, LIMITS))
    bound_s = near.bound_s(solve_program(near.program, LIMITS))
    assert bound_s >= whole_s * (1 - SLACK)
    best_s = float(evaluate_batch(problem, homes_PT).latency_s_P.min())
    assert bound_s <= best_s * (1 + SLACK)


def test_the_state_is_as_it_was():
    problem = random_problem("nnp-i", 4, 30)
    tables = build_tables(problem)
    start_T = np.zeros(problem.tensor_count, np.int8)
    state = build_state(tables, start_T)
    records_N, table_QF = state.record_N.copy(), tables.table_QF.copy()
    build_neighbourhood(tables, state, tables.capacity_bytes_L, problem.free_tensors[:20])
    assert (state.homes_T == start_T).all()
    assert (state.record_N == records_N).all()
    assert (tables.table_QF == table_QF).all()
    before_s = state.mark_SMF[KEPT, -1, TOTAL]
    assert reset(tables, state) == before_s


def test_an_op_with_too_many_choices_keeps_the_last_of_them_fixed(monkeypatch):
    monkeypatch.setattr(neighbourhood, "MAX_COMBINATIONS", 3)
    problem = random_problem("nnp-i", 4, 30)
    tables = build_tables(problem)
    state = build_state(tables, np.zeros(problem.tensor_count, np.int8))
    near = build_neighbourhood(tables, state, tables.capacity_bytes_L, problem.free_tensors)
    assert near is not None
    assert near.tensors[0] == problem.free_tensors[0]
    for op in problem.workload.ops:
        decided = {operand.tensor for operand in op.operands} & set(near.tensors.tolist())
        assert len(decided) <= 1


@pytest.mark.parametrize("ops", [50, 800])
def test_its_size_does_not_grow_with_the_graph(ops):
    problem = random_problem("nnp-i", 4, ops, share=1.0)
    tables = build_tables(problem)
    state = build_state(tables, np.zeros(problem.tensor_count, np.int8))
    chosen = problem.free_tensors[10:30]
    near = build_neighbourhood(tables, state, tables.capacity_bytes_L, chosen)
    assert near is not None
    assert len(near.ops) < 50
    assert len(near.program.cost) < 2000
