"""The tiered machine behind a search."""

import numpy as np
import pytest

from accelerator_sim.addresses import has_addresses
from egrl.evaluators import tiered
from egrl.evaluators.tiered import TieredEvaluator
from egrl.placers.all_outermost import AllOutermost
from egrl.placers.base import Budget
from egrl.placers.greedy import Greedy
from egrl.placers.true_local_search import TrueLocalSearch
from graph_ir.errors import UnmetRequirementError
from tests.tiered.test_machine import Case


@pytest.fixture
def case(tmp_path):
    return Case("resnet_bottleneck", tmp_path)


def test_what_streams_more_takes_longer(case):
    problem = case.problem
    machine = TieredEvaluator(case.model, problem, case.inputs, runs=3)
    outer_T = AllOutermost().place(problem, Budget(), np.random.default_rng(0)).homes_T
    inner_T = Greedy().place(problem, Budget(), np.random.default_rng(0)).homes_T
    seconds_P = machine.measure(np.stack([outer_T, inner_T]))
    assert seconds_P[0] > seconds_P[1] > 0


def test_the_first_run_does_not_count(case, monkeypatch):
    seconds = iter([9.0, 3.0, 1.0, 2.0])

    class Machine:
        def __init__(self, *_):
            self.inputs = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            assert self.inputs == 4

        def set_inputs(self, _inputs):
            self.inputs += 1

        def run(self):
            return type("Inference", (), {"latency_s": next(seconds)})()

    monkeypatch.setattr(tiered, "TieredMachine", Machine)
    outer_T = case.problem.allowed_TH.argmax(axis=1).astype(np.int8)
    machine = TieredEvaluator(case.model, case.problem, case.inputs, runs=3)
    assert machine.measure(outer_T[np.newaxis]).tolist() == [2.0]


def test_what_has_no_addresses_is_not_measured(case, monkeypatch):
    def no_plan(*_):
        raise UnmetRequirementError("no addresses")

    monkeypatch.setattr(tiered, "build_plan", no_plan)
    outer_T = case.problem.allowed_TH.argmax(axis=1).astype(np.int8)
    machine = TieredEvaluator(case.model, case.problem, case.inputs)
    assert np.isnan(machine.measure(outer_T[np.newaxis])).all()


def test_a_search_on_it_ends_with_a_plan_that_it_has_executed(case):
    machine = TieredEvaluator(case.model, case.problem, case.inputs)
    placer = TrueLocalSearch(evaluator=machine)
    found = placer.place(case.problem, Budget(evaluations=6), np.random.default_rng(0))
    assert has_addresses(case.problem, found.homes_T)
    assert 0.0 < found.latency_s < 10.0
