"""`random`: homes drawn at random and rectified; what any search must beat."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier
from egrl.evaluators.base import Evaluator
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress

DEFAULT_EVALUATIONS = 4_000


@dataclass(frozen=True, slots=True)
class RandomSearch(Placer):
    """Random homes, made to fit by demoting.

    Attributes:
        batch: placements drawn at once.
        evaluator: the machine to search on; the engine where None.
    """

    batch: int = 64
    evaluator: Evaluator | None = None

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
        while not search.exhausted:
            count = self.batch
            if budget.evaluations is not None:
                count = min(count, budget.evaluations - search.evaluations)
            rectified = rectifier.batch(random_homes(problem, count, rng))
            latency_P = search.measure(rectified.homes_PT, rectified.fits_P)
            best = int(latency_P.argmin())
            if latency_P[best] < search.best_s:
                offer_addressable(
                    search, rectifier, rectified.homes_PT[best], float(latency_P[best])
                )
        return search.result()


def random_homes(
    problem: PlacementProblem, count: int, rng: np.random.Generator
) -> NDArray[np.int8]:
    """Placements with every allowed home of a tensor equally likely; most do not fit."""
    draw_PTH = rng.random((count, *problem.allowed_TH.shape))
    homes_PT: NDArray[np.int8] = (
        np.where(problem.allowed_TH, draw_PTH, -1.0).argmax(2).astype(np.int8)
    )
    return homes_PT
