"""The `exact` placer, its solver, and the solver's process."""

import numpy as np
import pytest
from hypothesis import given, settings

from accelerator_sim.addresses import has_addresses
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.targets import load_target
from egrl.bench.random_graphs import random_workload
from egrl.placers import exact as exact_module
from egrl.placers.acts_first import ActsFirst
from egrl.placers.base import Budget
from egrl.placers.exact import Exact, exact_program
from egrl.placers.milp import BackgroundSolve, Limits, solve_program
from graph_ir.errors import UnmetRequirementError
from tests.exact.small import every_placement, optimum, small_problems, with_capacity

NODES = Budget(evaluations=10_000)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@settings(max_examples=60)
@given(small_problems())
def test_placement_is_feasible_and_between_bound_and_optimum(problem: PlacementProblem) -> None:
    best_s = optimum(problem)
    try:
        result = Exact().place(problem, NODES, rng())
    except UnmetRequirementError:
        fitting = [
            homes_T
            for homes_T in every_placement(problem)
            if evaluate(problem, homes_T)[1] == 0 and has_addresses(problem, homes_T)
        ]
        assert fitting == []
        return
    latency_s, overflow = evaluate(problem, result.homes_T)
    assert overflow == 0
    assert latency_s == result.latency_s
    assert has_addresses(problem, result.homes_T)
    assert problem.allowed_TH[np.arange(problem.tensor_count), result.homes_T].all()
    assert result.lower_bound_s is not None
    assert result.lower_bound_s <= best_s * (1 + 1e-9) <= latency_s * (1 + 2e-9)


def middling(ops: int = 40, seed: int = 5) -> PlacementProblem:
    """A problem that takes branching."""
    accelerator = load_target("nnp-i-partitioned")
    accelerator = with_capacity(with_capacity(accelerator, 2, 3 << 20), 1, 8 << 20)
    return build_problem(random_workload(ops, np.random.default_rng(seed)), accelerator)


def test_never_worse_than_its_start() -> None:
    problem = middling()
    start_s = ActsFirst().place(problem, Budget(evaluations=1), rng()).latency_s
    result = Exact().place(problem, Budget(evaluations=1), rng())
    assert result.latency_s <= start_s


def test_same_nodes_same_result() -> None:
    problem = middling()
    first = Exact().place(problem, Budget(evaluations=20), rng())
    second = Exact().place(problem, Budget(evaluations=20), np.random.default_rng(7))
    assert first.homes_T.tolist() == second.homes_T.tolist()
    assert first.lower_bound_s == second.lower_bound_s


def test_background_solve_is_the_same_solve() -> None:
    problem = middling(12)
    start = ActsFirst().place(problem, Budget(evaluations=1), rng())
    program = exact_program(problem, start.homes_T).program
    here = solve_program(program, Limits(nodes=50))
    with BackgroundSolve(program, Limits(nodes=50)) as solve:
        there = solve.wait(120)
    assert there is not None
    assert there.values.tolist() == here.values.tolist()
    assert (there.bound, there.optimal, there.infeasible) == (
        here.bound, here.optimal, here.infeasible,
    )  # fmt: skip


def test_background_solve_stops_at_the_end_of_its_block() -> None:
    problem = middling()
    start = ActsFirst().place(problem, Budget(evaluations=1), rng())
    program = exact_program(problem, start.homes_T).program
    with BackgroundSolve(program, Limits()) as solve:
        assert solve.wait(0.01) is None
    assert solve._process.returncode is not None


def test_pins_that_do_not_fit_together_are_unmet() -> None:
    workload = random_workload(8, np.random.default_rng(1))
    accelerator = with_capacity(load_target("nnp-i"), 2, 1 << 20)
    free = build_problem(workload, accelerator)
    weights = [
        tensor.name
        for t, tensor in enumerate(workload.tensors)
        if tensor.kind == "weight" and free.allowed_TH[t, 2]
    ]
    problem = build_problem(workload, accelerator, dict.fromkeys(weights, "SRAM"))
    with pytest.raises(UnmetRequirementError):
        Exact().place(problem, NODES, rng())


def test_finds_a_placement_where_its_start_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails(ActsFirst):
        def place(self, *_: object) -> None:  # type: ignore[override]
            raise UnmetRequirementError("nothing")

    monkeypatch.setattr(exact_module, "ActsFirst", Fails)
    problem = middling(6)
    result = Exact().place(problem, NODES, rng())
    assert evaluate(problem, result.homes_T)[1] == 0
