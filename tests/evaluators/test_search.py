"""Searching on a machine: what counts, what is penalised, and nothing new where there is none."""

import numpy as np
import pytest

from accelerator_sim.engine import evaluate, evaluate_batch
from accelerator_sim.rectify import build_rectifier
from egrl.environment.judge import build_judge
from egrl.evaluators.command import CommandEvaluator
from egrl.evaluators.engine import EngineEvaluator
from egrl.evaluators.per_placement import PerPlacementEvaluator
from egrl.evaluators.perturbed import PerturbedEvaluator
from egrl.placers import PLACERS
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import ASKED_AT_ONCE, Budget, Search
from egrl.placers.on_machine import placer_on
from egrl.placers.random_search import RandomSearch, random_homes
from graph_ir.errors import InputError
from tests.evaluators.machines import fitting, machine
from tests.placers.support import random_problem

# Two generations of the published agent.
BUDGET = Budget(evaluations=46)
SEARCHERS = [name for name, make in PLACERS.items() if hasattr(make(), "evaluator")]
# These search in the same way whatever the machine; `egrl` has another search for unknown ones.
BLIND = ["greedy-dp", "random", "random-key", "egrl-paper"]


@pytest.fixture(scope="module")
def problem():
    return random_problem("nnp-i", 3, 12, 0.2)


def test_the_searchers_are_those_that_the_documentation_names():
    assert set(SEARCHERS) - {"egrl"} == set(BLIND)


@pytest.mark.parametrize("name", BLIND)
def test_the_engine_as_the_machine_changes_nothing(problem, name):
    without = placer_on(name, None).place(problem, BUDGET, np.random.default_rng(5))
    asked = placer_on(name, EngineEvaluator(problem))
    result = asked.place(problem, BUDGET, np.random.default_rng(5))
    assert result.homes_T.tobytes() == without.homes_T.tobytes()
    assert result.curve == without.curve
    assert result.evaluations == without.evaluations


@pytest.mark.parametrize("name", BLIND)
def test_the_latency_of_the_result_is_the_machines(problem, name):
    truth = PerturbedEvaluator(problem, 4, 0.5)
    result = placer_on(name, truth).place(problem, BUDGET, np.random.default_rng(5))
    assert result.latency_s == truth.measure(result.homes_T[np.newaxis])[0]
    assert result.latency_s != evaluate(problem, result.homes_T)[0]
    assert evaluate(problem, result.homes_T)[1] == 0
    latencies = [latency_s for _, latency_s in result.curve]
    assert latencies == sorted(latencies, reverse=True)


@pytest.mark.parametrize("name", BLIND)
def test_it_finds_what_is_better_there_and_worse_here(problem, name):
    # A machine on which outer memories are the fast ones: the engine's order upside down.
    outermost_T = problem.allowed_TH.argmax(axis=1)
    upside_down = PerPlacementEvaluator(lambda homes_T: 1e-3 + float(homes_T.sum()))
    result = placer_on(name, upside_down).place(problem, BUDGET, np.random.default_rng(5))
    by_engine = placer_on(name, None).place(problem, BUDGET, np.random.default_rng(5))
    assert result.homes_T.sum() <= by_engine.homes_T.sum()
    if name in ("greedy-dp", "egrl-paper"):  # Both begin with everything outermost.
        assert (result.homes_T == outermost_T).all()


def test_only_what_fits_is_measured_and_everything_counts(problem):
    asked = []

    def latency_of(homes_T):
        asked.append(homes_T.copy())
        return [3.0, float("nan"), -1.0, 0.0, float("inf")][min(len(asked) - 1, 4)]

    search = Search(problem, Budget(), evaluator=PerPlacementEvaluator(latency_of))
    good_PT = fitting(problem, 6)
    homes_PT = np.concatenate([random_homes(problem, 30, np.random.default_rng(0)), good_PT])
    fits_P = evaluate_batch(problem, homes_PT).feasible_P
    known_P = np.ones(len(homes_PT), np.bool_)
    known_P[-1] = False
    found_P = search.measure(homes_PT, known_P)
    assert search.evaluations == len(homes_PT)
    assert len(asked) == (fits_P & known_P).sum() < len(homes_PT) - 1
    first = int(np.flatnonzero(fits_P)[0])
    assert found_P[first] == 3.0
    assert np.isinf(np.delete(found_P, first)).all()
    # Without a machine: the engine's latency of the same placements.
    plain = Search(problem, Budget())
    expected_P = np.where(fits_P & known_P, evaluate_batch(problem, homes_PT).latency_s_P, np.inf)
    assert (plain.measure(homes_PT, known_P) == expected_P).all()


def test_a_slow_machine_is_not_asked_after_the_time_is_over(problem):
    search = Search(problem, Budget(seconds=3600.0))
    asked = []

    def latency_of(homes_T):
        asked.append(homes_T)
        search.began -= 400.0
        return 1.0

    search.evaluator = PerPlacementEvaluator(latency_of)
    homes_PT = np.repeat(fitting(problem, 1), 3 * ASKED_AT_ONCE, axis=0)
    found_P = search.measure(homes_PT)
    assert len(asked) == ASKED_AT_ONCE == search.evaluations
    assert np.isfinite(found_P).tolist() == [True] * ASKED_AT_ONCE + [False] * 2 * ASKED_AT_ONCE


def test_a_start_that_does_not_fit_is_rectified_on_the_machine(problem):
    measured = []

    def latency_of(homes_T):
        measured.append(homes_T.copy())
        return 2.0

    rectifier = build_rectifier(problem)
    rectified = 0
    for homes_T in random_homes(problem, 40, np.random.default_rng(3)):
        search = Search(problem, Budget(), evaluator=PerPlacementEvaluator(latency_of))
        measured.clear()
        if evaluate(problem, homes_T)[1] > 0:
            assert search.try_placement(homes_T) == np.inf
            assert not measured
            # What is far too large for its memories is left alone.
            if offer_addressable(search, rectifier, homes_T, float(np.inf)):
                rectified += 1
                assert search.best_s == 2.0
                assert (measured[-1] == search.best_homes_T).all()
    assert rectified > 0


def test_a_placer_that_knows_only_the_engine_is_refused(problem):
    for name in ("auto", "exact", "native"):
        with pytest.raises(InputError, match=f"placer {name}: .*expected one of .*random-key"):
            placer_on(name, EngineEvaluator(problem))
    with pytest.raises(InputError, match="unknown"):
        placer_on("no-such", None)


def test_plans_that_crash_the_machine_are_penalised_and_the_run_goes_on(problem, tmp_path):
    # It has no innermost memory for anything but the staging ring.
    body = "os.kill(os.getpid(), signal.SIGSEGV) if 2 in homes else print(seconds)"
    evaluator = CommandEvaluator(problem, machine(tmp_path, body, jobs=2))
    placer = RandomSearch(batch=16, evaluator=evaluator)
    # Every tenth tensor inside, so that some plans leave the innermost memory alone.
    result = placer.place(problem, Budget(evaluations=48), np.random.default_rng(2))
    assert evaluator.failed > 0
    assert evaluator.measured > evaluator.failed
    assert evaluator.last_failure == "killed by signal 11"
    tiers = np.array([home.tier for home in problem.homes])
    assert (tiers[result.homes_T] < 2).all()


@pytest.mark.parametrize("name", ["random", "random-key", "greedy-dp"])
def test_the_same_seed_gives_the_same_plan_whatever_runs_beside(problem, tmp_path, name):
    budget = Budget(evaluations=24)
    found = []
    for jobs in (1, 3):
        evaluator = CommandEvaluator(problem, machine(tmp_path, "print(seconds)", jobs=jobs))
        result = placer_on(name, evaluator).place(problem, budget, np.random.default_rng(9))
        found.append((result.homes_T.tobytes(), result.curve, result.evaluations))
    assert found[0] == found[1]


def test_the_published_agent_is_rewarded_by_the_machine(problem):
    judge = build_judge(problem, PerPlacementEvaluator(lambda homes_T: 1.0 + homes_T.sum()))
    found = judge.judge(judge.empty_map()[np.newaxis])
    assert found.latency_s_P[0] == 1.0 + problem.allowed_TH.argmax(axis=1).sum()
    assert found.reward_P[0] == (judge.reference_s / found.latency_s_P[0]) ** 2 - 1


def test_the_published_agent_learns_on_though_the_machine_fails():
    problem = random_problem("nnp-i", 3, 6, 1.0)
    calls = []

    def latency_of(homes_T):
        calls.append(homes_T)
        return float("nan") if len(calls) % 2 == 0 else evaluate(problem, homes_T)[0]

    placer = placer_on("egrl-paper", PerPlacementEvaluator(latency_of))
    result = placer.place(problem, Budget(evaluations=66), np.random.default_rng(0))
    assert result.evaluations == 66
    # A failure among the maps of a generation hides none of the others.
    finite = [evaluate(problem, homes_T)[0] for n, homes_T in enumerate(calls, 1) if n % 2]
    assert result.latency_s <= min(finite[1:])
