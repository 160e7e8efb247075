"""Search on a machine that answers placements with latencies and shows nothing else.

Rounds of a few measurements: the learner (`correction.py`) draws machines that may be the true one,
the planner finds a good placement for each, starting from the best measured so far or from the
model's own optimum, and the machine measures them. All measurements go to the learner.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate
from egrl.agents.egrl.correction import Correction, build_correction
from egrl.agents.egrl.planner import Planner, build_planner
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Search
from egrl.placers.decoder import Decoder

I8 = NDArray[np.int8]

ROUND = 8
"""Measurements of a round."""

TEMPERATURES = (0.0, 0.3, 1.0, 0.3, 0.0, 0.3, 1.0, 0.3)
"""Of the learner's draws in a round; see `Posterior.draw`."""

PLAN_EVALUATIONS = 3000
"""Of the corrected model for one placement."""

FIRST_EVALUATIONS = 30_000
"""Of the model for its own optimum."""

HOT = (1e-4, 1e-3, 1e-2, 1e-3, 1e-3, 1e-4, 1e-2, 1e-3)
"""First temperatures of the planner in a round."""

RETRIES = 4
"""Plans for one measurement before one that is known already is taken for a kick."""


@dataclass(slots=True)
class UnknownSearch:
    """State of one search.

    Attributes:
        search: budget, machine, incumbent.
        planner: on the model.
        correction: the learner.
        rng: source of all randomness.
        known: latencies of placements measured, by their bytes.
        model_T: optimum of the model.
        best_T: fastest measured, whether or not it has addresses.
        best_s: its latency.
    """

    search: Search
    planner: Planner
    correction: Correction
    rng: np.random.Generator
    known: dict[bytes, float]
    model_T: I8
    best_T: I8
    best_s: float

    def measure(self, homes_PT: I8) -> None:
        """Measure placements, remember and offer them."""
        limit = self.search.budget.evaluations
        if limit is not None:
            homes_PT = homes_PT[: max(0, limit - self.search.evaluations)]
        if not len(homes_PT):
            return
        for homes_T, seconds in zip(homes_PT, self.search.measure(homes_PT).tolist(), strict=True):
            self.known[homes_T.tobytes()] = seconds
            if not np.isfinite(seconds):
                continue
            modelled_s, _ = evaluate(self.search.problem, homes_T)
            self.correction.add(homes_T, modelled_s, seconds)
            if seconds < self.best_s:
                self.best_T, self.best_s = homes_T.copy(), seconds
                offer_addressable(self.search, self.planner.rectifier, homes_T, seconds)

    def round(self) -> None:
        """Draw machines, plan for them, measure the plans."""
        self.correction.tune()
        posterior = self.correction.posterior()
        planned: dict[bytes, I8] = {}
        for n, (temperature, hot) in enumerate(zip(TEMPERATURES, HOT, strict=True)):
            start_T = self.model_T if n == ROUND - 1 else self.best_T
            for attempt in range(RETRIES):
                warmer = max(temperature, 0.3 * attempt)
                factor, bias_TH = posterior.draw(self.rng, warmer)
                homes_T = self.planner.plan(start_T, factor, bias_TH, hot, PLAN_EVALUATIONS)
                key = homes_T.tobytes()
                if key not in self.known and key not in planned:
                    planned[key] = homes_T
                    break
        if planned:
            self.measure(np.stack(list(planned.values())))
        else:
            # Nothing new is promising: the search has converged, what is left goes to chance.
            self.measure(self._kicked()[np.newaxis])

    def _kicked(self) -> I8:
        """The best placement with a few tensors elsewhere."""
        problem = self.search.problem
        kicked_T = self.best_T.copy()
        for tensor in self.rng.choice(self.planner.decoder.free, 3).tolist():
            kicked_T[tensor] = self.rng.choice(np.flatnonzero(problem.allowed_TH[tensor]))
        batch = self.planner.rectifier.batch(kicked_T[np.newaxis])
        found_T: I8 = batch.homes_PT[0]
        return found_T


def search_unknown(
    search: Search, decoder: Decoder, starts: list[I8], rng: np.random.Generator
) -> None:
    """Search until the budget ends; the incumbent of the search is the result.

    Args:
        search: with the machine as its evaluator.
        decoder: of its problem.
        starts: int8, placements that fit, measured first.
        rng: source of all randomness.
    """
    problem = search.problem
    planner = build_planner(problem, decoder, rng)
    zero_TH = np.zeros(problem.allowed_TH.shape)
    by_model = min(starts, key=lambda homes_T: evaluate(problem, homes_T)[0])
    model_T = by_model
    for hot in (1e-3, 1e-2, 1e-4):
        model_T = planner.plan(model_T, 1.0, zero_TH, hot, FIRST_EVALUATIONS // 3)
    state = UnknownSearch(
        search, planner, build_correction(problem, decoder), rng, {}, model_T, model_T, np.inf
    )
    first = {homes_T.tobytes(): homes_T for homes_T in [model_T, *starts]}
    state.measure(np.stack(list(first.values())))
    while not search.exhausted:
        state.round()
