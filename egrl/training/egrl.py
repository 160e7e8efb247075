"""`egrl` as `egrl train` sees it: learning one machine from measurements of placements.

A generation is a round of the search on an unknown machine. What the state holds is every
measurement in its order; on resuming, the learner is told them again.

Axis letters: M measurements, T tensors.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import msgspec
import numpy as np

from accelerator_sim.problem import PlacementProblem
from egrl.agents.arrays import Arrays, checked
from egrl.agents.egrl.config import EgrlConfig
from egrl.agents.egrl.unknown import Round, UnknownSearch
from egrl.environment.judge import build_judge, rewards
from egrl.placers.base import Search
from egrl.placers.decoder import build_decoder
from egrl.placers.egrl import Egrl
from egrl.training.agents import Array, Measures
from graph_ir.errors import InputError


class EgrlFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is no array.

    Attributes:
        noise_share: the learner's choice.
        spread: likewise.
        tuned_at: measurements that it chose on.
        reference_s: latency of `native` on the machine.
    """

    noise_share: float
    spread: float
    tuned_at: int
    reference_s: float


class EgrlRun:
    """See `egrl.training.agents.Run`."""

    def __init__(
        self,
        problem: PlacementProblem,
        config: EgrlConfig,
        search: Search,
        rng: np.random.Generator,
    ) -> None:
        self._reference_s = build_judge(problem, search.evaluator).reference_s
        # The same starts and the same random numbers as `egrl compile --evaluator`.
        self._state = Egrl(config=config).learner(search, build_decoder(problem), rng)

    @property
    def reference_s(self) -> float:
        """See `Run`."""
        return self._reference_s

    def generation(self) -> Measures:
        """See `Run`."""
        state = self._state
        found = state.round() if state.homes else state.begin()
        return _measures(found, self._reference_s, state.correction.noise_share)

    def arrays(self) -> Mapping[str, Array]:
        """See `Run`."""
        state = self._state
        homes = np.array(state.homes, np.int8).reshape(-1, len(state.model_T))
        return {
            "homes": homes,
            "modelled": np.array(state.modelled_s, np.float64),
            "measured": np.array(state.measured_s, np.float64),
            "model": state.model_T,
            "random": state.planner.random,
        }

    def facts(self) -> EgrlFacts:
        """See `Run`."""
        learner = self._state.correction
        return EgrlFacts(learner.noise_share, learner.spread, learner.tuned_at, self._reference_s)

    def restore(self, arrays: Mapping[str, Array], facts: object) -> None:
        """See `Run`."""
        try:
            known = msgspec.convert(facts, EgrlFacts)
        except msgspec.ValidationError as error:
            raise InputError(str(error)) from error
        state = self._state
        kept = _read(state, arrays)
        _check(state, kept, known)
        self._reference_s = known.reference_s
        state.model_T = state.best_T = kept.model_T
        state.planner.random[:] = kept.random
        for homes_T, modelled_s, measured_s in zip(
            kept.homes_MT, kept.modelled_M.tolist(), kept.measured_M.tolist(), strict=True
        ):
            state.note(homes_T, modelled_s, measured_s)
        learner = state.correction
        learner.noise_share, learner.spread = known.noise_share, known.spread
        learner.tuned_at = known.tuned_at


@dataclass(frozen=True, slots=True)
class _Kept:
    homes_MT: Array
    modelled_M: Array
    measured_M: Array
    model_T: Array
    random: Array


def _measures(found: Round, reference_s: float, noise_share: float) -> Measures:
    measured_P, predicted_P = np.array(found.measured_s), np.array(found.predicted_s)
    count = len(measured_P)
    valid_P = np.isfinite(measured_P)
    losses = {"noise": noise_share}
    # A machine may answer anything; what overflows is left out of the metrics.
    with np.errstate(over="ignore"):
        if valid_P.any():
            off_P = np.abs(predicted_P[valid_P] / measured_P[valid_P] - 1.0)
            losses["prediction"] = fmean(off_P.tolist())
        # All of them fit; one that the machine cannot run earns the least.
        reward_P = rewards(measured_P, np.ones(count, np.bool_), np.zeros(count), reference_s)
    best = float(reward_P.max()) if count else None
    return Measures(count, int(valid_P.sum()), best, 0, losses)


def _read(state: UnknownSearch, arrays: Arrays) -> _Kept:
    """The arrays, of the right types and shapes."""
    float64, int8 = np.dtype(np.float64), np.dtype(np.int8)
    tensors = len(state.model_T)
    count = len(arrays["measured"]) if np.ndim(arrays.get("measured", 0)) else 0
    return _Kept(
        checked(arrays, "homes", int8, (count, tensors)),
        checked(arrays, "modelled", float64, (count,)),
        checked(arrays, "measured", float64, (count,)),
        checked(arrays, "model", int8, (tensors,)),
        checked(arrays, "random", np.dtype(np.uint64), state.planner.random.shape),
    )


def _check(state: UnknownSearch, kept: _Kept, facts: EgrlFacts) -> None:
    """Refuse what no run can have come to."""
    allowed_TH = state.search.problem.allowed_TH
    for name, homes_PT in (("homes", kept.homes_MT), ("model", kept.model_T[np.newaxis])):
        low, high = homes_PT.min(initial=0), homes_PT.max(initial=0)
        if not (low >= 0 and high < allowed_TH.shape[1]):
            raise InputError(f"{name}: expected homes below {allowed_TH.shape[1]}")
        if not allowed_TH[np.arange(homes_PT.shape[1]), homes_PT].all():
            raise InputError(f"{name}: a tensor has a home that it may not have")
    if not ((kept.modelled_M > 0) & np.isfinite(kept.modelled_M)).all():
        raise InputError("modelled: expected positive numbers")
    if not (kept.measured_M > 0).all():
        raise InputError("measured: expected positive numbers, or infinity")
    if not kept.random.all():
        raise InputError("random: expected no zero")
    counts = 0 <= facts.tuned_at <= len(kept.measured_M)
    widths = 0 < facts.noise_share < np.inf and 0 < facts.spread < np.inf
    if not (counts and widths and 0 < facts.reference_s < np.inf):
        raise InputError("facts: a number is out of range")
