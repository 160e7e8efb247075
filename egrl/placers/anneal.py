"""`anneal`: simulated annealing over single placements.

After Kirkpatrick, Gelatt and Vecchi, "Optimization by simulated annealing" (Science 220, 1983). A
move changes one tensor's home; tensors that are in the way are demoted at random, and the space
that they leave is offered to others. Cycles of cooling follow one another, each from the best
placement so far, mild and hot in turn and each longer than the one before.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, no_progress
from egrl.placers.session import Session, begin

DEFAULT_EVALUATIONS = 200_000

CHUNK_EVALUATIONS = 4_000
"""Timed between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Anneal(Placer):
    """Simulated annealing: one tensor at a time, room made at random.

    Attributes:
        start_T: int8, a placement to begin with, or None for the best greedy one.
        hot: temperatures at which cycles begin, in turn, as a share of the latency.
        cold: temperature at which they end, likewise.
        cycle_evaluations: of the first cycle.
        growth: of the cycles.
        refills: tensors that are offered the space which a demotion leaves.
    """

    start_T: NDArray[np.int8] | None = None
    hot: tuple[float, ...] = (2e-3, 1e-2)
    cold: float = 1e-5
    cycle_evaluations: int = 20_000
    growth: float = 1.5
    refills: int = 8

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """See `Placer.place`."""
        session = begin(problem, budget, rng, progress, self.start_T, DEFAULT_EVALUATIONS)
        cycle = 0
        while len(session.free) and not session.search.exhausted:
            length = int(self.cycle_evaluations * self.growth**cycle)
            self._cycle(session, self.hot[cycle % len(self.hot)], length)
            cycle += 1
        return session.search.result()

    def _cycle(self, session: Session, hot: float, length: int) -> None:
        session.relax()
        state = session.state(session.best_T)
        hot_s, cold_s = hot * session.best_s, self.cold * session.best_s
        chunks = max(1, -(-length // CHUNK_EVALUATIONS))
        for temperature_s in pairwise(np.geomspace(hot_s, cold_s, chunks + 1).tolist()):
            if session.search.exhausted:
                return
            before_L = session.capacity_bytes_L.copy()
            session.walk(
                state, session.free, temperature_s, CHUNK_EVALUATIONS, np.inf, self.refills
            )
            if not np.array_equal(before_L, session.capacity_bytes_L):
                state = session.state(session.best_T)
