"""What one run of each experiment measures, on problems of a few ops."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from accelerator_sim.problem import PlacementProblem
from egrl.bench.agent import clock, protocol, unknown
from egrl.bench.agent.cases import Case
from egrl.bench.agent.clock import ClockedTask, curve_of, measure_on_clock
from egrl.bench.agent.methods import METHODS, PAPER, of_part
from egrl.bench.agent.moves import from_native, transition
from egrl.bench.agent.open_problems import OPEN_CASES
from egrl.bench.agent.protocol import CountedTask
from egrl.bench.agent.reference import measure_reference, plan_homes, plan_text
from egrl.bench.agent.seeded import Seeded
from egrl.bench.agent.settings import PARTS, AgentOptions, Settings
from egrl.bench.agent.unknown import UnknownCase, UnknownTask, is_planner
from egrl.bench.options import BenchOptions
from egrl.evaluators.base import Evaluator
from egrl.evaluators.engine import EngineEvaluator
from egrl.placers import PLACERS
from egrl.placers.base import Budget, Placer, PlacerResult
from egrl.placers.egrl import Egrl
from egrl.placers.true_local_search import TrueLocalSearch
from graph_ir.errors import UnmetRequirementError
from tests.placers.support import check_result, random_problem


@dataclass(frozen=True, slots=True)
class SmallCase:
    name: str = "small on nnp-i"

    def load(self, folder: Path) -> PlacementProblem:
        return random_problem("nnp-i", 1, 12)


PROBLEM = SmallCase().load(Path())


@dataclass(frozen=True, slots=True)
class Steps(Placer):
    """Reports incumbents by a plan of (delay in seconds, latency)."""

    plan: tuple[tuple[float, float], ...]

    def place(self, problem, budget, rng, progress=lambda _m, _s: None):
        latency_s = np.inf
        for delay_s, latency_s in self.plan:
            time.sleep(delay_s)
            progress("improved", latency_s)
        return PlacerResult(np.zeros(problem.tensor_count, np.int8), latency_s, 7, 0.0)


@dataclass(frozen=True, slots=True)
class Nothing(Placer):
    """Finds nothing."""

    def place(self, problem, budget, rng, progress=lambda _m, _s: None):
        raise UnmetRequirementError("nothing")


@dataclass(slots=True)
class Counted:
    """A machine that counts, and is the engine but for one thing: it is slower by half."""

    problem: PlacementProblem
    count: int = 0

    def measure(self, homes_PT):
        self.count += len(homes_PT)
        return 1.5 * EngineEvaluator(self.problem).measure(homes_PT)


def test_an_anytime_curve_has_the_times_of_its_incumbents():
    steps = Steps(((0.0, 5.0), (0.05, 4.0), (0.0, 4.5), (0.05, 3.0)))
    curve, took_s, evaluations = curve_of(steps, "search", PROBLEM, (1.0,), 0)
    assert [latency_s for _, latency_s in curve] == [5.0, 4.0, 3.0]
    assert 0.0 <= curve[0][0] < 0.05 <= curve[1][0] < 0.1 <= curve[2][0] <= took_s
    assert evaluations == 7


def test_a_method_that_plans_by_the_time_is_run_for_each_and_may_not_be_late(monkeypatch):
    given: list[float] = []

    def run_on_clock(placer, problem, seconds, seed):
        given.append(seconds)
        # Building the program takes 0.5 s; the solver's answer comes at the very end.
        return [(0.1, 9.0), (0.5 + seconds, 9.0 - len(given))], 0.5 + seconds, 1

    monkeypatch.setattr(clock, "run_on_clock", run_on_clock)
    curve, _, evaluations = curve_of(Nothing(), "solver", PROBLEM, (0.01, 1.0, 10.0), 0)
    assert given == pytest.approx([0.01, 0.5, 9.5])
    assert curve == [(1.0, 7.0), (10.0, 6.0)]
    assert evaluations == 3
    given.clear()
    curve, _, _ = curve_of(Nothing(), "timed", PROBLEM, (0.01, 1.0, 10.0), 0)
    assert given == [0.01, 1.0, 10.0]
    # At 1 s it still held its first; at 10 s it was late by 5 %, which is let pass.
    assert curve == [(1.0, 9.0), (10.0, 6.0)]


def test_who_finds_nothing_has_no_curve():
    assert curve_of(Nothing(), "search", PROBLEM, (1.0,), 0)[0] == []


def test_a_run_on_the_clock_is_a_row(monkeypatch):
    monkeypatch.setattr(clock, "WARM_SECONDS", 0.1)
    row = measure_on_clock(ClockedTask("time", SmallCase(), "anneal", 3, (0.01, 0.1), Path(), 2))
    assert row.key == "time: small on nnp-i: anneal: 3"
    assert row.latency_s == row.curve[-1][1]
    assert row.latency_s <= row.native_s
    assert row.curve[-1][0] <= row.seconds < 5.0
    assert (row.budget, row.jobs) == (0.1, 2)


@pytest.mark.parametrize(("late", "expected"), [(0, 1), (1, 2), (99, clock.WARM_RUNS)])
def test_what_compiles_is_warmed_until_it_is_in_time(monkeypatch, late, expected):
    runs = []

    def run_on_clock(_placer, _problem, seconds, _seed):
        runs.append(seconds)
        return [], seconds * (3.0 if len(runs) <= late else 1.2), 1

    monkeypatch.setattr(clock, "run_on_clock", run_on_clock)
    clock._warm_up(Nothing(), PROBLEM, 1.0, 0)
    assert runs == [1.0] * expected


def test_a_run_under_the_protocol_is_a_row(tmp_path):
    row = protocol.measure(CountedTask("protocol", SmallCase(), "random-key", 0, 150, Path()))
    again = protocol.measure(CountedTask("protocol", SmallCase(), "random-key", 0, 150, Path()))
    assert row.curve == again.curve
    assert row.evaluations <= 150 + 64
    assert row.latency_s == row.curve[-1][1]
    sizes = [PROBLEM.workload.tensors[t].size_bytes for t in PROBLEM.free_tensors.tolist()]
    assert np.sum(row.moved_bytes) == sum(sizes)
    assert np.sum(row.moved_tensors) == len(sizes)


def test_tasks_are_one_seed_after_another_and_methods_without_seeds_run_once():
    settings = Settings(BenchOptions(Path("x.md"), Path(), ["resnet50"], ["nnp-i"]), AgentOptions())
    tasks = list(protocol.tasks(settings))
    assert [task.seed for task in tasks] == sorted(task.seed for task in tasks)
    assert {task.case.name for task in tasks} == {
        "resnet50 fp16 on nnp-i",
        "resnet50 int8 on nnp-i",
    }
    assert sum(task.method == "acts-first" for task in tasks) == 2
    assert sum(task.method == PAPER for task in tasks) == 10


def test_transition_counts_bytes_and_tensors_by_tier():
    tier_H = PROBLEM.arrays.tier_H
    outer_T = PROBLEM.allowed_TH.argmax(axis=1).astype(np.int8)
    inner_T = outer_T.copy()
    moved = int(PROBLEM.free_tensors[0])
    inner_T[moved] = np.flatnonzero(PROBLEM.allowed_TH[moved])[-1]
    found_bytes, found = transition(PROBLEM, outer_T, inner_T)
    to = int(tier_H[inner_T[moved]])
    assert to > 0
    assert found[0][to] == 1
    assert found_bytes[0][to] == PROBLEM.workload.tensors[moved].size_bytes
    assert found[0][0] == len(PROBLEM.free_tensors) - 1
    assert np.sum(found[1:]) == 0


def test_native_moves_nothing_from_itself():
    native = PLACERS["native"]().place(PROBLEM, Budget(), np.random.default_rng(0))
    found = np.array(from_native(PROBLEM, native.homes_T)[1])
    assert (found == np.diag(np.diag(found))).all()


def test_reference_holds_plans_that_come_back():
    found = measure_reference("x", PROBLEM, 2.0, exact_too=True)
    assert found.bound_s <= found.best_s <= found.exact_s
    assert found.best_s <= found.native_s
    homes_T = plan_homes(found.plan)
    assert plan_text(homes_T) == found.plan
    assert EngineEvaluator(PROBLEM).measure(homes_T[np.newaxis])[0] == found.exact_s


def test_unknown_machine_is_asked_and_plans_are_asked_once(monkeypatch):
    asked: list[Counted] = []

    def machine(self: UnknownCase, folder: Path) -> Evaluator:
        asked.append(Counted(PROBLEM))
        return asked[-1]

    monkeypatch.setattr(UnknownCase, "machine", machine)
    monkeypatch.setattr(Case, "load", lambda self, folder: PROBLEM)
    plan = plan_text(
        PLACERS["acts-first"]().place(PROBLEM, Budget(), np.random.default_rng(0)).homes_T
    )
    planned_s = EngineEvaluator(PROBLEM).measure(plan_homes(plan)[np.newaxis])[0]
    case = UnknownCase(Case("m", "fp16", "nnp-i"), unknown.DETAILED)
    for method in ("exact", "local-search", "random-key"):
        row = unknown.measure(UnknownTask(case, method, 0, 80, Path(), plan))
        assert row.case == f"m fp16 on nnp-i by {unknown.DETAILED}"
        assert row.latency_s is not None
        assert row.latency_s <= 1.5 * planned_s * (1 + 1e-12)
        assert asked[-1].count == (1 if is_planner(method) else pytest.approx(80, abs=16))
        if is_planner(method):
            assert row.curve == [(1.0, 1.5 * planned_s)]
            assert row.budget == 1.0
    assert len(asked) == 3


def test_search_on_the_truth_follows_it_and_not_the_engine():
    tensors = PROBLEM.free_tensors

    class Outermost:
        """A machine on which every tensor is best left in the outermost tier."""

        def measure(self, homes_PT):
            tiers_PF = PROBLEM.arrays.tier_H[homes_PT[:, tensors]]
            return 1.0 + (tiers_PF > 0).sum(axis=1)

    search = TrueLocalSearch(evaluator=Outermost(), hot=1e-6)
    found = search.place(PROBLEM, Budget(evaluations=2000), np.random.default_rng(0))
    outermost_T = PROBLEM.arrays.tier_H[found.homes_T[tensors]] == 0
    assert found.latency_s == 1.0 + (~outermost_T).sum()
    assert (~outermost_T).sum() < 0.1 * len(tensors)
    assert found.curve[0][1] > found.latency_s


@pytest.mark.parametrize("target", ["nnp-i-partitioned", "ethos-u65-512"])
def test_search_on_the_engine_is_a_placer_like_any_other(target):
    problem = random_problem(target, 2, 20)
    first = TrueLocalSearch().place(problem, Budget(evaluations=300), np.random.default_rng(5))
    again = TrueLocalSearch().place(problem, Budget(evaluations=300), np.random.default_rng(5))
    check_result(problem, first)
    assert first.homes_T.tobytes() == again.homes_T.tobytes()
    assert first.evaluations <= 300
    assert first.latency_s <= first.curve[0][1]


def test_every_part_has_methods_whose_factories_make_placers():
    for part in PARTS:
        for name in of_part(part, []):
            assert isinstance(METHODS[name].make(PROBLEM, None, None), Placer)
    assert len({case.name for case in OPEN_CASES}) == len(OPEN_CASES)


@dataclass(frozen=True, slots=True)
class Asked(Placer):
    """Notes what it is asked, and finds what it is told to."""

    start_T: np.ndarray
    seen: list[tuple[np.ndarray, Budget]]
    latency_s: float = 1e-9

    def place(self, problem, budget, rng, progress=lambda _m, _s: None):
        self.seen.append((self.start_T, budget))
        curve = ((1, 1.0), (7, self.latency_s))
        return PlacerResult(self.start_T, self.latency_s, 7, 0.0, curve=curve)


def test_a_baseline_pays_for_what_it_begins_with():
    rng = np.random.default_rng(0)
    seen: list[tuple[np.ndarray, Budget]] = []
    start = Egrl(policy=None, search=False, samples=0).place(PROBLEM, Budget(evaluations=99), rng)
    seeded = Seeded(lambda start_T: Asked(start_T, seen))
    found = seeded.place(PROBLEM, Budget(evaluations=100, seconds=60.0), rng)
    assert np.array_equal(seen[0][0], start.homes_T)
    assert seen[0][1].evaluations == 100 - start.evaluations
    assert 0.0 < seen[0][1].seconds < 60.0
    assert found.evaluations == start.evaluations + 7
    # What is no better than the start is no incumbent.
    assert found.curve == (*start.curve, (start.evaluations + 7, 1e-9))
    # Nothing is left: the search is not begun.
    spent = seeded.place(PROBLEM, Budget(evaluations=start.evaluations), rng)
    assert len(seen) == 1
    assert spent.latency_s == start.latency_s


@pytest.mark.parametrize("search", [lambda start_T: Asked(start_T, [], 9.0), lambda _: Nothing()])
def test_a_search_that_finds_nothing_better_keeps_its_start(search):
    found = Seeded(search).place(PROBLEM, Budget(evaluations=100), np.random.default_rng(0))
    assert found.latency_s < 9.0
    assert found.latency_s == found.curve[-1][1]
