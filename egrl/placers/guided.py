"""`guided`: local search led by where the engine says that time is lost.

What an op takes longer than it would with everything in its ideal home is blamed on those of its
tensors that are elsewhere, in proportion to what each would save; tensors are picked for promotion
by their blame. Room is made by demoting the tensors that save least per byte, and the space left
over is offered to others. Each round descends from the incumbent, after a kick when the last round
found nothing; then the blame is shared out anew (iterated local search; Lourenco, Martin and
Stuetzle, Handbook of Metaheuristics, 2003).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.incremental.state import KEPT, TOTAL, State
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.value import op_seconds_N
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, no_progress
from egrl.placers.session import Session, begin

DEFAULT_EVALUATIONS = 200_000

POOL = 2048
"""Entries of the pool that blame shares out, one more for every tensor."""


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
                pool = self._pool(session, state, ideal_N)
                warm_s, cold_s = self.warm * session.best_s, self.cold * session.best_s
                session.walk(
                    state, pool, (warm_s, cold_s), self.round_evaluations, self.noise, self.refills
                )
            kicked = not session.best_s < before_s
            if kicked:
                session.relax()
        return session.search.result()

    def _pool(
        self, session: Session, state: State, ideal_N: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Tensors in proportion to their blame, and every free tensor once."""
        values, arrays = session.decoder.values, session.search.problem.arrays
        tensors = np.arange(len(state.homes_T))
        lost_N = np.maximum(0.0, np.diff(state.mark_SMF[KEPT, :, TOTAL]) - ideal_N)
        gain_T = (
            values.seconds_TH[tensors, state.homes_T] - values.seconds_TH[tensors, values.ideal_T]
        )
        gain_E = np.maximum(0.0, gain_T)[arrays.row_tensor_E]
        op_E = np.repeat(np.arange(len(ideal_N)), np.diff(arrays.row_start_N))
        gain_N = np.bincount(op_E, gain_E, len(ideal_N))
        share_E = np.divide(gain_E, gain_N[op_E], out=np.zeros_like(gain_E), where=gain_E > 0.0)
        blame_T = np.bincount(arrays.row_tensor_E, share_E * lost_N[op_E], len(tensors))
        free = session.free
        total_s = float(blame_T[free].sum())
        if total_s <= 0.0:
            return free
        blamed = POOL * self.blamed_share / total_s * blame_T[free]
        rest = POOL * (1.0 - self.blamed_share) / len(free)
        pool: NDArray[np.int64] = np.repeat(free, 1 + np.floor(blamed + rest).astype(np.int64))
        return pool
