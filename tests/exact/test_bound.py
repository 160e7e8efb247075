"""The exact program against all placements of small problems."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from accelerator_sim.engine import evaluate, evaluate_batch
from accelerator_sim.problem import PlacementProblem, build_problem
from egrl.placers import op_hull
from egrl.placers.exact import exact_program
from egrl.placers.exact_model import build_model
from egrl.placers.milp import Limits, Solved, solve_program
from egrl.placers.op_hull import floor_seconds, op_table
from graph_ir.errors import UnmetRequirementError
from tests.accelerator_sim.cases import random_homes
from tests.accelerator_sim.machines import quantity, with_streaming
from tests.exact.small import (
    every_placement,
    optimum,
    small_problems,
    streaming_problems,
    with_capacity,
)

SLACK = 1e-9


def proven(problem: PlacementProblem) -> tuple[float, Solved]:
    """Lower bound in seconds; infinity where the program has no solution."""
    exact = exact_program(problem, every_placement(problem)[0])
    solved = solve_program(exact.program, Limits(nodes=10_000))
    return (np.inf if solved.infeasible else exact.lower_bound_s(solved)), solved


@settings(max_examples=120)
@given(small_problems())
def test_bound_is_below_every_placement(problem: PlacementProblem) -> None:
    bound_s, _ = proven(problem)
    best_s = optimum(problem)
    if bound_s == np.inf:
        assert best_s == np.inf, "proven infeasible, yet a placement fits"
    else:
        assert bound_s <= best_s * (1 + SLACK)


@settings(max_examples=120)
@given(streaming_problems())
def test_bound_where_streams_matter(problem: PlacementProblem) -> None:
    bound_s, _ = proven(problem)
    assert bound_s <= optimum(problem) * (1 + SLACK)


@settings(max_examples=60)
@given(small_problems(), st.integers(0, 3))
def test_bound_holds_with_little_decided(problem: PlacementProblem, combinations: int) -> None:
    """Ops priced over few of their tensors, and tensors left out, only lower the bound."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(op_hull, "MAX_COMBINATIONS", 1 + 2 * combinations)
        patch.setattr(op_hull, "NEGLIGIBLE_SHARE", 0.1)
        loose_s, _ = proven(problem)
    if loose_s == np.inf:
        assert optimum(problem) == np.inf
    else:
        assert loose_s <= optimum(problem) * (1 + SLACK)


@settings(max_examples=60)
@given(small_problems())
def test_floor_is_below_every_placement(problem: PlacementProblem) -> None:
    latency_s = evaluate_batch(problem, every_placement(problem)).latency_s_P
    assert floor_seconds(problem) <= latency_s.min() * (1 + 1e-12)


def test_floor_is_reached_with_an_unlimited_innermost_tier() -> None:
    """One tensor per op, all of which fit: the floor is the latency of having them inside."""
    from accelerator_sim.targets import load_target
    from egrl.bench.random_graphs import random_workload

    # On one core: with more, a broadcast into every core can cost more than the shared cache.
    accelerator = replace(load_target("nnp-i"), cores=quantity(1))
    accelerator = with_capacity(accelerator, 2, 1 << 40)
    workload = random_workload(30, np.random.default_rng(0))
    problem = build_problem(workload, accelerator)
    inside = np.array([np.flatnonzero(allowed)[-1] for allowed in problem.allowed_TH], np.int8)
    latency_s = evaluate_batch(problem, inside[np.newaxis]).latency_s_P[0]
    assert floor_seconds(problem) == pytest.approx(latency_s, rel=0.02)


@settings(max_examples=40)
@given(small_problems())
def test_tables_hold_what_the_engine_says(problem: PlacementProblem) -> None:
    """Where nothing is prefetched, the latency is the sum of the late records."""
    streaming = problem.accelerator.streaming
    machine = with_streaming(problem.accelerator, 0, streaming.slice_bytes, streaming.staging_bytes)
    plain = build_problem(problem.workload, machine)
    tables = [op_table(plain, op) for op in range(plain.op_count)]
    if not all(table.complete for table in tables):
        return
    for homes_T in random_homes(plain, np.random.default_rng(0), 10):
        total = 0.0
        for table in tables:
            place = tuple(
                homes.tolist().index(homes_T[t])
                for t, homes in zip(table.tensors, table.homes, strict=True)
            )
            assert table.early[place] <= table.late[place]
            total += float(table.late[place])
        assert total == pytest.approx(evaluate(plain, homes_T)[0], rel=1e-9)


@settings(max_examples=60)
@given(small_problems(), st.floats(0.3, 0.99))
def test_less_capacity_never_lowers_optimum_or_bound(
    problem: PlacementProblem, factor: float
) -> None:
    accelerator = problem.accelerator
    inner = len(accelerator.tiers) - 1
    smaller = int(accelerator.tiers[inner].capacity_bytes.value * factor)
    pins = {
        problem.workload.tensors[t].name: problem.home_name(int(allowed.argmax()))
        for t, allowed in enumerate(problem.allowed_TH)
        if allowed.sum() == 1
    }
    try:
        tighter = build_problem(problem.workload, with_capacity(accelerator, inner, smaller), pins)
    except UnmetRequirementError:
        return
    assert optimum(tighter) >= optimum(problem)
    bound_s, solved = proven(problem)
    tighter_s, tighter_solved = proven(tighter)
    if solved.optimal and tighter_solved.optimal and bound_s < np.inf:
        # Each is proven to within the solver's gap of 1e-4, and left-out tensors are 1e-3.
        assert tighter_s >= bound_s * (1 - 2e-3)


def test_too_large_a_program_is_refused() -> None:
    problem = _some_problem()
    with pytest.raises(UnmetRequirementError, match="expected at most 3"):
        build_model(problem, 3)


def _some_problem() -> PlacementProblem:
    from accelerator_sim.targets import load_target
    from egrl.bench.random_graphs import random_workload

    return build_problem(random_workload(6, np.random.default_rng(0)), load_target("nnp-i"))
