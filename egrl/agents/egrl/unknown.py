"""Search on a machine that answers placements with latencies and shows nothing else.

Rounds of a few measurements: the learner (`correction.py`) draws machines that may be the true one,
the planner finds a good placement for each, starting from the best measured so far or from the
model's own optimum, and the machine measures them. All measurements go to the learner.

Axis letters: P placements, T tensors.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate
from egrl.agents.diverged import DivergedError
from egrl.agents.egrl.config import DEFAULT, EgrlConfig
from egrl.agents.egrl.correction import Correction, Posterior, build_correction
from egrl.agents.egrl.planner import Planner, build_planner
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Search
from egrl.placers.decoder import Decoder
from graph_ir.errors import UnmetRequirementError

I8 = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured.

    Attributes:
        measured_s: of each placement; infinity where the machine failed.
        predicted_s: of each, by the learner before it was told; the model's in the first round.
    """

    measured_s: tuple[float, ...] = ()
    predicted_s: tuple[float, ...] = ()


@dataclass(slots=True)
class UnknownSearch:
    """State of one search.

    Attributes:
        search: budget, machine, incumbent.
        planner: on the model.
        correction: the learner.
        config: hyper-parameters.
        rng: source of all randomness.
        starts: int8, placements that fit.
        model_T: optimum of the model; before `begin` the start that is best by the model.
        best_T: fastest measured, whether or not it has addresses.
        best_s: its latency.
        homes: placements measured, in this order.
        modelled_s: of each, by the engine.
        measured_s: of each; infinity where the machine failed.
        known: the placements, as bytes.
    """

    search: Search
    planner: Planner
    correction: Correction
    config: EgrlConfig
    rng: np.random.Generator
    starts: list[I8]
    model_T: I8
    best_T: I8
    best_s: float = np.inf
    homes: list[I8] = field(default_factory=list)
    modelled_s: list[float] = field(default_factory=list)
    measured_s: list[float] = field(default_factory=list)
    known: set[bytes] = field(default_factory=set)

    def run(self) -> None:
        """Search until the budget ends; the incumbent of the search is the result."""
        self.begin()
        while not self.search.exhausted:
            self.round()

    def begin(self) -> Round:
        """Find the model's own optimum; measure it and the starts."""
        zero_TH = np.zeros(self.search.problem.allowed_TH.shape)
        walks = self.config.model_temperatures
        evaluations = max(1, self.config.model_evaluations // len(walks))
        for hot in walks:
            self.model_T = self.planner.plan(self.model_T, 1.0, zero_TH, hot, evaluations)
        self.best_T = self.model_T
        first = {homes_T.tobytes(): homes_T for homes_T in [self.model_T, *self.starts]}
        return self._measure(np.stack(list(first.values())), self.correction.posterior())

    def round(self) -> Round:
        """Draw machines, plan for them, measure the plans.

        Raises:
            DivergedError: what was measured is too far apart for numbers to hold.
        """
        # What runs away is said once, and by the error.
        with np.errstate(all="ignore"):
            self.correction.tune()
            posterior = self.correction.posterior()
            planned = self._planned(posterior)
        if planned:
            return self._measure(np.stack(list(planned.values())), posterior)
        # Nothing new is promising: the search has converged, what is left goes to chance.
        return self._measure(self._kicked()[np.newaxis], posterior)

    def _planned(self, posterior: Posterior) -> dict[bytes, I8]:
        """Good placements for machines that may be the true one, none of them measured before."""
        config = self.config
        planned: dict[bytes, I8] = {}
        early = len(self.homes) < config.later_from
        evaluations = config.plan_evaluations if early else config.later_plan_evaluations
        heats = zip(config.temperatures, config.plan_temperatures, strict=True)
        for n, (temperature, hot) in enumerate(heats):
            start_T = self.model_T if n == len(config.temperatures) - 1 else self.best_T
            for attempt in range(config.retries):
                warmer = max(temperature, config.retry_temperature * attempt)
                factor, bias_TH = posterior.draw(self.rng, warmer)
                if not (np.isfinite(factor) and np.isfinite(bias_TH).all()):
                    raise DivergedError("learner: the machine's latencies differ beyond measure")
                homes_T = self.planner.plan(start_T, factor, bias_TH, hot, evaluations)
                key = homes_T.tobytes()
                if key not in self.known and key not in planned:
                    planned[key] = homes_T
                    break
        return planned

    def note(self, homes_T: I8, modelled_s: float, measured_s: float) -> bool:
        """Remember a measurement and learn from it; returns whether it is the fastest so far."""
        self.homes.append(homes_T.copy())
        self.modelled_s.append(modelled_s)
        self.measured_s.append(measured_s)
        self.known.add(homes_T.tobytes())
        if not np.isfinite(measured_s):
            return False
        self.correction.add(homes_T, modelled_s, measured_s)
        if measured_s < self.best_s:
            self.best_T, self.best_s = homes_T.copy(), measured_s
            return True
        return False

    def _measure(self, homes_PT: I8, posterior: Posterior) -> Round:
        """Measure placements, as many as the budget allows, learn from them and offer them."""
        limit = self.search.budget.evaluations
        if limit is not None:
            homes_PT = homes_PT[: max(0, limit - self.search.evaluations)]
        if not len(homes_PT):
            return Round()
        problem = self.search.problem
        modelled_P = np.array([evaluate(problem, homes_T)[0] for homes_T in homes_PT])
        predicted_P = posterior.predict(homes_PT, modelled_P)
        measured = self.search.measure(homes_PT).tolist()
        for homes_T, modelled_s, seconds in zip(
            homes_PT, modelled_P.tolist(), measured, strict=True
        ):
            if self.note(homes_T, modelled_s, seconds):
                offer_addressable(self.search, self.planner.rectifier, homes_T, seconds)
        return Round(tuple(measured), tuple(predicted_P.tolist()))

    def _kicked(self) -> I8:
        """The best placement with a few tensors elsewhere."""
        problem, free = self.search.problem, self.planner.decoder.free
        kicked_T = self.best_T.copy()
        if len(free):
            for tensor in self.rng.choice(free, self.config.kicked).tolist():
                kicked_T[tensor] = self.rng.choice(np.flatnonzero(problem.allowed_TH[tensor]))
        batch = self.planner.rectifier.batch(kicked_T[np.newaxis])
        found_T: I8 = batch.homes_PT[0]
        return found_T


def build_unknown(
    search: Search,
    decoder: Decoder,
    starts: list[I8],
    rng: np.random.Generator,
    config: EgrlConfig = DEFAULT,
) -> UnknownSearch:
    """A search that has measured nothing.

    Args:
        search: with the machine as its evaluator.
        decoder: of its problem.
        starts: int8, placements that fit, measured first.
        rng: source of all randomness.
        config: hyper-parameters.

    Raises:
        UnmetRequirementError: there are no starts.
    """
    problem = search.problem
    if not starts:
        raise UnmetRequirementError("placement: found nothing feasible to begin with")
    planner = build_planner(problem, decoder, rng, config)
    by_model = min(starts, key=lambda homes_T: evaluate(problem, homes_T)[0])
    correction = build_correction(problem, decoder, config)
    return UnknownSearch(search, planner, correction, config, rng, starts, by_model, by_model)
