"""A search that is given what `egrl` gives itself to begin with, and pays for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, no_progress
from egrl.placers.egrl import Egrl
from graph_ir.errors import UnmetRequirementError

I8 = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Seeded(Placer):
    """The best of the rule and the references first, then a search that begins with it.

    Attributes:
        search: makes the search from the placement to begin with.
    """

    search: Callable[[I8], Placer]

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """See `Placer.place`; evaluations and seconds of the start count."""
        began = time.monotonic()
        constructive = Egrl(policy=None, search=False, samples=0)
        start = constructive.place(problem, budget, np.random.default_rng(0), progress)
        left = Budget(
            None if budget.evaluations is None else budget.evaluations - start.evaluations,
            None if budget.seconds is None else budget.seconds - (time.monotonic() - began),
        )
        if min(x for x in (left.evaluations, left.seconds, 1) if x is not None) <= 0:
            return start
        try:
            found = self.search(start.homes_T).place(problem, left, rng, progress)
        except UnmetRequirementError:
            return start  # What was left did not suffice for a first placement.
        later = [
            (start.evaluations + evaluations, latency_s)
            for evaluations, latency_s in found.curve
            if latency_s < start.latency_s
        ]
        better = found if found.latency_s < start.latency_s else start
        return replace(
            better,
            evaluations=start.evaluations + found.evaluations,
            seconds=time.monotonic() - began,
            curve=(*start.curve, *later),
        )
