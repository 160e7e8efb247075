"""The detailed model and the perturbed engine as machines."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from accelerator_sim.detailed import DetailedModel
from accelerator_sim.engine import evaluate_batch
from egrl.evaluators.detailed import DetailedEvaluator
from egrl.evaluators.perturbed import PerturbedEvaluator, perturbed_problem
from egrl.placers import PLACERS
from egrl.placers.base import Budget
from egrl.placers.random_search import random_homes
from tests.placers.support import TARGETS, check_result, random_problem


def some_homes(problem, count=24):
    return random_homes(problem, count, np.random.default_rng(1))


@pytest.mark.parametrize("target", TARGETS)
def test_a_spread_of_nothing_is_the_engine(target):
    problem = random_problem(target, 5, 20)
    homes_PT = some_homes(problem)
    found_P = PerturbedEvaluator(problem, 3, 0.0).measure(homes_PT)
    assert (found_P == evaluate_batch(problem, homes_PT).latency_s_P).all()


@pytest.mark.parametrize("target", TARGETS)
def test_other_costs_but_the_same_placements_fit(target):
    problem = random_problem(target, 5, 20)
    homes_PT = some_homes(problem)
    truth = perturbed_problem(problem, 3, 0.4)
    known, real = evaluate_batch(problem, homes_PT), evaluate_batch(truth, homes_PT)
    assert (real.overflow_bytes_P == known.overflow_bytes_P).all()
    assert (real.latency_s_P != known.latency_s_P).all()
    # Another order, not another scale alone, where placement matters at all.
    assert (
        np.ptp(known.latency_s_P) == 0
        or np.ptp(np.log(real.latency_s_P / known.latency_s_P)) > 0.01
    )
    other_P = PerturbedEvaluator(problem, 4, 0.4).measure(homes_PT)
    assert (other_P != real.latency_s_P).all()


def test_every_kind_of_cost_is_perturbed_on_its_own():
    problem = random_problem("nnp-i", 5, 12)
    truth = perturbed_problem(problem, 1, 0.3).arrays
    known = problem.arrays
    op_V = np.repeat(np.arange(problem.op_count), np.diff(known.variant_start_N))
    for name in ("compute_V", "fill_V"):
        before_V, after_V = getattr(known, name), getattr(truth, name)
        ratio_V = after_V[before_V > 0] / before_V[before_V > 0]
        op_of = op_V[before_V > 0]
        # One factor for all ways to execute an op, another one for another op.
        for op in set(op_of.tolist()):
            assert ratio_V[op_of == op] == pytest.approx(ratio_V[op_of == op][0])
        assert len(np.unique(ratio_V.round(9))) == len(set(op_of.tolist()))
    for k in range(known.cost_CK.shape[1]):
        some_C = known.cost_CK[:, k] > 0
        assert not some_C.any() or (truth.cost_CK[some_C, k] != known.cost_CK[some_C, k]).all()
    streams_C = known.stream_C > 0
    assert streams_C.any()
    assert (truth.stream_C[streams_C] != known.stream_C[streams_C]).all()
    assert (truth.ring_bytes_C == known.ring_bytes_C).all()
    assert (truth.latency_H != known.latency_H)[known.latency_H > 0].all()
    # The tensor that an op uses, in the home that it has: the same factor wherever it is used.
    cells_E = np.diff(np.append(known.row_cell_E, len(known.cost_CK)))
    tensor_C = np.repeat(known.row_tensor_E, cells_E)
    home_C = np.arange(len(tensor_C)) % len(problem.homes)
    used_twice = 0
    for t in range(problem.tensor_count):
        for h in range(len(problem.homes)):
            mine_C = (tensor_C == t) & (home_C == h) & (known.cost_CK[:, h] > 0)
            ratio = truth.cost_CK[mine_C, h] / known.cost_CK[mine_C, h]
            used_twice += len(ratio) > 1
            assert np.ptp(ratio) < 1e-9 if len(ratio) else True
    assert used_twice


def test_the_factors_are_log_normal():
    problem = random_problem("nnp-i", 5, 60)
    truth = perturbed_problem(problem, 1, 0.3).arrays
    fill_V = problem.arrays.fill_V
    logs = np.unique(np.log(truth.fill_V[fill_V > 0] / fill_V[fill_V > 0]).round(9))
    assert len(logs) >= 50
    assert abs(logs.mean()) < 0.12
    assert 0.2 < logs.std() < 0.4


def test_searches_may_be_given_the_truth():
    problem = perturbed_problem(random_problem("nnp-i", 5, 15), 2, 0.4)
    for name in ("random-key", "exact"):
        result = PLACERS[name]().place(problem, Budget(evaluations=300), np.random.default_rng(0))
        check_result(problem, result)
        assert result.lower_bound_s is None or result.lower_bound_s <= result.latency_s * 1.0001


def perturbed_digest() -> str:
    problem = random_problem("nnp-i-partitioned", 5, 10)
    return hashlib.sha256(
        PerturbedEvaluator(problem, 11, 0.3).measure(some_homes(problem)).tobytes()
    ).hexdigest()


def test_the_same_seed_is_the_same_machine_in_any_process():
    code = "from tests.evaluators.test_models import perturbed_digest; print(perturbed_digest())"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "77"},
    )
    assert result.stdout.strip() == perturbed_digest()


def test_the_detailed_model_answers_in_order_from_any_number_of_processes():
    problem = random_problem("nnp-i", 5, 5)
    homes_PT = some_homes(problem, 7)
    model = DetailedModel(problem.workload, problem.accelerator)
    expected = [
        model.simulate([problem.homes[h] for h in homes_T]).latency_s
        for homes_T in homes_PT.tolist()
    ]
    assert len(set(expected)) > 3
    assert DetailedEvaluator(problem).measure(homes_PT).tolist() == expected
    with DetailedEvaluator(problem, processes=2) as evaluator:
        assert evaluator.measure(homes_PT).tolist() == expected
        assert evaluator.measure(homes_PT[::-1]).tolist() == expected[::-1]
