"""Experiment 3, the unknown machine: solvers know the engine, evaluations come from elsewhere.

The truth is the detailed model, which shares nothing with the engine but the accelerator file, or
the engine with a cost table that a seed has perturbed, which no solver is shown. A solver's plan is
measured once; searches begin with the exact plan and measure what they try.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.bench.agent.cases import UNKNOWN_CASES, Case, chosen, native_seconds
from egrl.bench.agent.methods import METHODS, Part, of_part
from egrl.bench.agent.reference import plan_homes
from egrl.bench.agent.rows import Rows, Run, thinned
from egrl.bench.agent.settings import Settings
from egrl.bench.settings import processor
from egrl.evaluators.base import Evaluator
from egrl.evaluators.detailed import DetailedEvaluator
from egrl.evaluators.perturbed import PerturbedEvaluator
from egrl.placers.base import Budget
from graph_ir.errors import InputError, UnmetRequirementError

PART: Part = "unknown"
EVALUATIONS = 4000
COUNTS = (100, 400, 4000)

DETAILED = "the detailed model"
SPREAD = 0.3
"""Of the perturbed cost tables."""

PERTURBATIONS = (1, 2, 3)
"""Their seeds."""

TRUTHS: tuple[str, ...] = (
    DETAILED,
    *(f"the engine perturbed by {SPREAD} (seed {seed})" for seed in PERTURBATIONS),
)


@dataclass(frozen=True, slots=True)
class UnknownCase:
    """A problem and the machine that answers.

    Attributes:
        case: the problem.
        truth: one of `TRUTHS`.
    """

    case: Case
    truth: str

    @property
    def name(self) -> str:
        """What rows and tables call it."""
        return f"{self.case.name} by {self.truth}"

    def load(self, folder: Path) -> PlacementProblem:
        """The problem as solvers see it."""
        return self.case.load(folder)

    def machine(self, folder: Path) -> Evaluator:
        """The machine that answers."""
        return _machine(self, folder)


@lru_cache(maxsize=4)
def _machine(case: UnknownCase, folder: Path) -> Evaluator:
    """Kept from run to run: the detailed model remembers the programs of ops."""
    problem = case.load(folder)
    if case.truth == DETAILED:
        return DetailedEvaluator(problem)
    return PerturbedEvaluator(problem, PERTURBATIONS[TRUTHS.index(case.truth) - 1], SPREAD)


@dataclass(frozen=True, slots=True)
class UnknownTask:
    """One run on an unknown machine.

    Attributes:
        case: problem and machine.
        method: name.
        seed: of the run.
        evaluations: measurements that it may take.
        folder: of the built models.
        plan: of the solver on the model (`reference.py`): measured, or begun with.
    """

    case: UnknownCase
    method: str
    seed: int
    evaluations: int
    folder: Path
    plan: str

    @property
    def row(self) -> tuple[str, str, str, int, float]:
        """Part, problem, method, seed and budget of the row that it makes."""
        budget = 1.0 if is_planner(self.method) else float(self.evaluations)
        return PART, self.case.name, self.method, self.seed, budget


def is_planner(method: str) -> bool:
    """Whether it plans on the model, and its plan is measured once."""
    return METHODS[method].kind in ("solver", "timed", "once")


def cases(settings: Settings) -> list[UnknownCase]:
    """The chosen problems, each with every machine."""
    return [
        UnknownCase(case, truth) for truth in TRUTHS for case in chosen(UNKNOWN_CASES, settings)
    ]


def tasks(settings: Settings, rows: Rows) -> Iterator[UnknownTask]:
    """All runs, one seed of everything after another; references with plans must be there."""
    evaluations = settings.agent.evaluations or EVALUATIONS
    folder = settings.common.folder
    for seed in settings.seeds(PART):
        for case in cases(settings):
            reference = rows.references[case.case.name]
            for method in of_part(PART, list(settings.agent.methods)):
                plan = reference.auto_plan if method == "auto" else reference.plan
                if not plan:
                    raise InputError(f"{case.case.name}: `exact` found no plan to begin with")
                if not is_planner(method) or seed == 0:
                    yield UnknownTask(case, method, seed, evaluations, folder, plan)


def measure(task: UnknownTask) -> Run:
    """Run it; the curve counts measurements of the machine."""
    problem = task.case.load(task.folder)
    machine = task.case.machine(task.folder)
    start_T = plan_homes(task.plan)
    began = time.monotonic()
    if is_planner(task.method):
        latency_s: float | None = float(machine.measure(start_T[np.newaxis])[0])
        curve, evaluations = [(1.0, latency_s or 0.0)], 1
    else:
        placer = METHODS[task.method].make(problem, machine, start_T)
        budget = Budget(evaluations=task.evaluations)
        try:
            found = placer.place(problem, budget, np.random.default_rng(task.seed))
            latency_s, curve, evaluations = found.latency_s, thinned(found.curve), found.evaluations
        except UnmetRequirementError:
            latency_s, curve, evaluations = None, [], 0
    _, _, _, _, budget_given = task.row
    return Run(
        part=PART,
        case=task.case.name,
        method=task.method,
        seed=task.seed,
        native_s=native_seconds(task.case.case, task.folder),
        budget=budget_given,
        latency_s=latency_s,
        evaluations=evaluations,
        seconds=round(time.monotonic() - began, 3),
        curve=curve,
        machine=processor(),
    )
