"""`guided`: local search led by where the engine says that time is lost.

Tensors are picked for promotion by what the engine's lost time says against their homes
(`blame.py`). Room is made by demoting the tensors that save least per byte, and the space left
over is offered to others. Each round descends from the incumbent, after a kick when the last round
found nothing; then the blame is shared out anew (iterated local search; Lourenco, Martin and
Stuetzle, Handbook of Metaheuristics, 2003).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.value import op_seconds_N
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, no_progress
from egrl.placers.blame import blamed_pool
from egrl.placers.session import begin

DEFAULT_EVALUATIONS = 200_000


@dataclass(frozen=True, slots=True)
class Guided(Placer):
    """Local search led by the engine's attribution of stalls.

    Attributes:
        start_T: int8, a placement to begin with, or None for the best greedy one.
        round_evaluations: of one descent.
        kick_evaluations: of one kick.
        kick: temperature of a kick as a share of the latency.
        warm: temperature at which a descent begins, likewise.
        cold: at which it ends.
        noise: of the choice whom to demote.
        refills: tensors that are offered the space which a demotion leaves.
        blamed_share: of the picks that follow the blame; the others are at random.
    """

    start_T: NDArray[np.int8] | None = None
    round_evaluations: int = 4_000
    kick_evaluations: int = 200
    kick: float = 1e-2
    warm: float = 5e-4
    cold: float = 1e-6
    noise: float = 3.0
    refills: int = 16
    blamed_share: float = 0.5

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """See `Placer.place`."""
        session = begin(problem, budget, rng, progress, self.start_T, DEFAULT_EVALUATIONS)
        if not len(session.free):
            return session.search.result()
        ideal_T = session.decoder.values.ideal_T
        ideal_N = op_seconds_N(session.decoder.tables, ideal_T)
        kicked = False
        while not session.search.exhausted:
            before_s = session.best_s
            state = session.state(session.best_T)
            if kicked:
                kick_s = self.kick * session.best_s
                session.walk(
                    state, session.free, (kick_s, kick_s), self.kick_evaluations, np.inf,
                    self.refills,
                )  # fmt: skip
            if not session.search.exhausted:
                pool = blamed_pool(session, state, ideal_N, self.blamed_share)
                warm_s, cold_s = self.warm * session.best_s, self.cold * session.best_s
                session.walk(
                    state, pool, (warm_s, cold_s), self.round_evaluations, self.noise, self.refills
                )
            kicked = not session.best_s < before_s
            if kicked:
                session.relax()
        return session.search.result()
