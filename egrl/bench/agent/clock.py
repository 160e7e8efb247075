"""One run against the clock: what a method holds for the best, and since when."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.bench.agent.cases import AnyCase, native_seconds
from egrl.bench.agent.methods import METHODS, Kind, Part
from egrl.bench.agent.rows import Run, thinned
from egrl.bench.agent.statistics import value_at
from egrl.bench.settings import processor
from egrl.placers.base import Budget, Placer
from graph_ir.errors import UnmetRequirementError

TOLERANCE = 1.05
"""By which a method that plans its work by the time may be late."""

WARM_SECONDS = 1.0
"""Of a run that does not count: it loads compiled code and libraries, or compiles it."""

WARM_RUNS = 4
"""At most; what a large problem takes to begin with can be more than its time, each time."""

WARM_TOLERANCE = 1.5
"""By which a warm run may be late."""

LEAST_SECONDS = 1e-3
"""Given to a solver where building its program took all the time there was."""

Curve = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class ClockedTask:
    """One run that ends by the clock.

    Attributes:
        part: experiment.
        case: problem.
        method: name.
        seed: of the run.
        times_s: at which incumbents are compared, rising; the run lasts as long as the last.
        folder: of the built models.
        jobs: runs at the same time.
    """

    part: Part
    case: AnyCase
    method: str
    seed: int
    times_s: tuple[float, ...]
    folder: Path
    jobs: int

    @property
    def row(self) -> tuple[str, str, str, int, float]:
        """Part, problem, method, seed and budget of the row that it makes."""
        return self.part, self.case.name, self.method, self.seed, self.times_s[-1]


@dataclass(slots=True)
class Clock:
    """Notes incumbents from the moment at which it is made.

    Attributes:
        began: monotonic clock, in seconds.
        curve: (seconds, latency in seconds), falling.
    """

    began: float = field(default_factory=time.monotonic)
    curve: Curve = field(default_factory=list)

    def note(self, _message: str, best_s: float) -> None:
        """What `Placer.place` calls as its progress."""
        if best_s < (self.curve[-1][1] if self.curve else np.inf):
            self.curve.append((time.monotonic() - self.began, best_s))


def run_on_clock(
    placer: Placer, problem: PlacementProblem, seconds: float, seed: int
) -> tuple[Curve, float, int]:
    """Incumbents over time, the time that it all took, and the evaluations."""
    evaluations = 0
    rng = np.random.default_rng(seed)
    clock = Clock()
    try:
        found = placer.place(problem, Budget(seconds=seconds), rng, clock.note)
        clock.note("end", found.latency_s)
        evaluations = found.evaluations
    except UnmetRequirementError:
        clock.curve.clear()  # No incumbent may be kept of a run that found none.
    return clock.curve, time.monotonic() - clock.began, evaluations


def curve_of(
    placer: Placer, kind: Kind, problem: PlacementProblem, times_s: tuple[float, ...], seed: int
) -> tuple[Curve, float, int]:
    """Incumbents over time of a method of any kind.

    A search runs once, for as long as the last time. Methods that plan by the time run once for
    each time, and only what they hold at that time counts; a solver is given what building its
    program, seen in the first run, leaves of the time.

    Returns:
        The curve, seconds in all, evaluations in all.
    """
    if kind in ("once", "search"):
        return run_on_clock(placer, problem, times_s[-1], seed)
    curve: Curve = []
    total_s, total, overhead_s = 0.0, 0, 0.0
    for run, seconds in enumerate(times_s):
        given_s = max(LEAST_SECONDS, seconds - overhead_s)
        found, took_s, evaluations = run_on_clock(placer, problem, given_s, seed)
        if run == 0 and kind == "solver":
            overhead_s = max(0.0, took_s - seconds)
        total_s, total = total_s + took_s, total + evaluations
        latency_s = value_at(found, TOLERANCE * seconds)
        if latency_s < np.inf:
            curve.append((seconds, latency_s))
    return curve, total_s, total


_warm: set[tuple[str, str]] = set()


def _warm_up(placer: Placer, problem: PlacementProblem, seconds: float, seed: int) -> None:
    """Short runs until one of them is in time: where code is compiled, the first is late."""
    for _ in range(WARM_RUNS):
        _, took_s, _ = run_on_clock(placer, problem, seconds, seed)
        if took_s <= WARM_TOLERANCE * seconds:
            return


def measure_on_clock(task: ClockedTask) -> Run:
    """Run it, after short runs that do not count."""
    problem = task.case.load(task.folder)
    method = METHODS[task.method]
    placer = method.make(problem, None, None)
    if (task.case.name, task.method) not in _warm:
        _warm_up(placer, problem, min(WARM_SECONDS, task.times_s[-1]), task.seed + 1)
        _warm.add((task.case.name, task.method))
    curve, seconds, evaluations = curve_of(placer, method.kind, problem, task.times_s, task.seed)
    return Run(
        part=task.part,
        case=task.case.name,
        method=task.method,
        seed=task.seed,
        native_s=native_seconds(task.case, task.folder),
        budget=task.times_s[-1],
        latency_s=curve[-1][1] if curve else None,
        evaluations=evaluations,
        seconds=round(seconds, 3),
        curve=curve if method.kind in ("timed", "solver") else thinned(curve),
        jobs=task.jobs,
        machine=processor(),
    )
