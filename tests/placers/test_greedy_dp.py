"""`greedy-dp` against its definition, written out slowly."""

import itertools

import numpy as np
import pytest

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from egrl.placers.base import Budget
from egrl.placers.greedy_dp import GreedyDp, choices_of, op_slots
from graph_ir.workload import TensorKind
from tests.placers.knapsack import knapsack
from tests.placers.support import TARGETS, random_problem

ENOUGH = Budget(evaluations=1_000_000)


def slow_greedy_dp(problem: PlacementProblem) -> tuple[list[int], float]:
    """Sweeps over the ops until one changes nothing."""
    tensors = problem.workload.tensors
    owner: dict[int, int] = {}
    for i, op in enumerate(problem.workload.ops):
        for operand in op.operands:
            owner.setdefault(operand.tensor, i)
    homes = [int(allowed.argmax()) for allowed in problem.allowed_TH]
    best_s, _ = evaluate(problem, np.array(homes, np.int8))
    changed = True
    while changed:
        changed = False
        for i in range(problem.op_count):
            mine = sorted(t for t, op in owner.items() if op == i)
            kept = list(homes)
            for weight_home, output_home in itertools.product(range(len(problem.homes)), repeat=2):
                trial = list(kept)
                for t in mine:
                    resident = tensors[t].kind in (TensorKind.WEIGHT, TensorKind.STATE)
                    home = weight_home if resident else output_home
                    if problem.allowed_TH[t, home]:
                        trial[t] = home
                latency_s, overflow = evaluate(problem, np.array(trial, np.int8))
                if overflow <= 0 and latency_s < best_s:
                    homes, best_s, changed = trial, latency_s, True
    return homes, best_s


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", range(4))
def test_sweeps_are_those_of_the_definition(target, seed):
    problem = random_problem(target, seed, 10, 0.5)
    homes, latency_s = slow_greedy_dp(problem)
    result = GreedyDp().place(problem, ENOUGH, np.random.default_rng(0))
    assert result.latency_s == latency_s
    assert result.homes_T.tolist() == homes


def test_an_op_with_one_weight_and_one_output_has_nine_choices():
    problem = random_problem("nnp-i", 4, 6, 1.0)
    homes_T = np.zeros(problem.tensor_count, np.int8)
    counts = {
        (len(weights), len(outputs)): len(choices_of(problem, homes_T, (weights, outputs)))
        for weights, outputs in op_slots(problem)
    }
    # What is there already is not tried again.
    assert counts[1, 1] == 8


def test_the_first_come_is_served_even_where_the_second_would_gain_more():
    # Only one of the two fits; the sweep meets the lesser first and never swaps.
    problem = knapsack(sizes=[600, 600], uses=[1, 5], inner_bytes=700)
    result = GreedyDp().place(problem, ENOUGH, np.random.default_rng(0))
    homes = dict(zip((t.name for t in problem.workload.tensors), result.homes_T, strict=True))
    assert homes["weight0"] == 1
    assert homes["weight1"] == 0
