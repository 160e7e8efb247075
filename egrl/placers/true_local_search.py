"""Local search that measures every step: what one does with a good plan and a machine at hand.

Simulated annealing from a given placement (the solver's, usually). A move puts one tensor into
another home; what is in its way is demoted, and whom, the model says, with noise, since the model
is known to be wrong. Every placement tried is one measurement: there are no others to learn from.
Cycles of cooling follow one another, each from the best so far and twice as long as the one before,
so that what it holds does not depend on how long it may go on.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import Rectifier, build_rectifier
from egrl.evaluators.base import Evaluator
from egrl.placers.acts_first import ActsFirst
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress

DEFAULT_EVALUATIONS = 4_000

MOST_DRAWS = 1000
"""Moves that change nothing, one after another, after which there is nothing to be moved."""

KEPT_SECONDS = 1e6
"""What a moved tensor is said to save where it was put, so that others make room."""


@dataclass(frozen=True, slots=True)
class TrueLocalSearch(Placer):
    """Annealing whose every step is measured.

    Attributes:
        start_T: int8, a placement to begin with, or None for that of `acts-first`.
        evaluator: the machine; the engine where None.
        hot: first temperature, as a share of the latency at the start.
        cold: last temperature, likewise.
        cycle_evaluations: of the first cycle.
        noise: standard deviation of the logarithm of what demoting a tensor is said to lose.
    """

    start_T: NDArray[np.int8] | None = None
    evaluator: Evaluator | None = None
    hot: float = 3e-3
    cold: float = 3e-5
    cycle_evaluations: int = 100
    noise: float = 1.0

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """See `Placer.place`."""
        if budget.evaluations is None and budget.seconds is None:
            budget = Budget(evaluations=DEFAULT_EVALUATIONS)
        search = Search(problem, budget, progress, self.evaluator)
        rectifier = build_rectifier(problem)
        start_T = self.start_T
        if start_T is None:
            start_T = ActsFirst().place(problem, Budget(), rng).homes_T
        now_T = np.array(start_T, np.int8)
        start_s = now_s = float(search.measure(now_T[np.newaxis])[0])
        offer_addressable(search, rectifier, now_T, now_s)
        best_T, best_s = now_T, now_s
        begin, length = search.evaluations, self.cycle_evaluations
        while not search.exhausted:
            next_T = self._neighbour(problem, rectifier, now_T, rng)
            if next_T is None:
                break
            next_s = float(search.measure(next_T[np.newaxis])[0])
            offer_addressable(search, rectifier, next_T, next_s)
            if next_s < best_s:
                best_T, best_s = next_T, next_s
            spent = (search.evaluations - begin) / length
            temperature_s = start_s * self.hot * (self.cold / self.hot) ** min(1.0, spent)
            if next_s - now_s <= temperature_s * rng.exponential():
                now_T, now_s = next_T, next_s
            if spent >= 1.0:
                now_T, now_s = best_T, best_s
                begin, length = search.evaluations, 2 * length
        return search.result()

    def _neighbour(
        self,
        problem: PlacementProblem,
        rectifier: Rectifier,
        now_T: NDArray[np.int8],
        rng: np.random.Generator,
    ) -> NDArray[np.int8] | None:
        """A placement that fits and is another; None where none is met."""
        free = problem.free_tensors
        if not len(free):
            return None
        for _ in range(MOST_DRAWS):
            tensor = int(rng.choice(free))
            homes = np.flatnonzero(problem.allowed_TH[tensor])
            home = int(rng.choice(homes[homes != now_T[tensor]]))
            moved_T = now_T.copy()
            moved_T[tensor] = home
            seconds_TH = rectifier.values.seconds_TH * np.exp(
                self.noise * rng.standard_normal((len(now_T), 1))
            )
            seconds_TH[tensor, home] = -KEPT_SECONDS
            noisy = replace(rectifier, values=replace(rectifier.values, seconds_TH=seconds_TH))
            batch = noisy.batch(moved_T[np.newaxis])
            if batch.fits_P[0] and not np.array_equal(batch.homes_PT[0], now_T):
                found_T: NDArray[np.int8] = batch.homes_PT[0]
                return found_T
        return None
