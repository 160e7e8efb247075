"""A population of keys whose newcomers are drawn from the policy.

A biased random-key genetic algorithm (Goncalves and Resende, Journal of Heuristics 17, 2011) over
the policy's keys: elites survive, children take the keys of each tensor from the elite parent with
a probability above one half, and newcomers are samples of the policy instead of uniform ones. A
placement that local search has found migrates into it as keys that decode to it.

Axis letters: P chromosomes, C children, T tensors, H homes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from egrl.agents.egrl.policy import PREFERENCE_NOISE, PRIORITY_NOISE, Keys
from egrl.placers.base import Search
from egrl.placers.decoder import Decoder

F64 = NDArray[np.float64]
I8 = NDArray[np.int8]

Decode = Callable[[F64, F64], tuple[I8, NDArray[np.bool_]]]
Propose = Callable[[int, np.random.Generator, int], tuple[F64, F64]]

JITTER = 3.0
"""Noise of jittered keys, in units of the policy's."""

FOUND = 40.0
"""How far ahead of the others the home of an encoded placement is preferred."""


@dataclass(frozen=True, slots=True)
class PopulationConfig:
    """Sizes and rates.

    Attributes:
        size: chromosomes of a generation.
        elites: that survive.
        newcomers: drawn from the policy.
        elite_bias: probability that a tensor's keys come from the elite parent.
        mutated: tensors of a child whose keys are jittered, in the mean.
    """

    size: int = 64
    elites: int = 12
    newcomers: int = 8
    elite_bias: float = 0.7
    mutated: float = 6.0


@dataclass(slots=True)
class Population:
    """State of an evolution.

    Attributes:
        config: sizes and rates.
        decoder: of the problem.
        decode: chromosomes to placements.
        propose: newcomers, given how many there were before.
        keys: by which what local search finds is encoded.
        rng: source of all randomness.
        priority_PT: chromosomes, the first `kept` of them evaluated.
        preference_PTH: likewise.
        seconds_P: latencies; infinite where not evaluated.
        proposed: newcomers so far.
        kept: how many are evaluated.
    """

    config: PopulationConfig
    decoder: Decoder
    decode: Decode
    propose: Propose
    keys: Keys
    rng: np.random.Generator
    priority_PT: F64
    preference_PTH: F64
    seconds_P: F64
    proposed: int
    kept: int = 0

    def generation(self, search: Search) -> tuple[I8, F64]:
        """Evaluate what is new, and breed; the placements evaluated and their latencies."""
        fresh = slice(self.kept, self.config.size)
        limit = search.budget.evaluations
        if limit is not None:
            fresh = slice(self.kept, min(self.config.size, self.kept + limit - search.evaluations))
        homes_PT, decoded_P = self.decode(self.priority_PT[fresh], self.preference_PTH[fresh])
        latency_P = search.measure(homes_PT, decoded_P)
        self.seconds_P[fresh] = latency_P
        self._breed(np.argsort(self.seconds_P, kind="stable"))
        return homes_PT, latency_P

    def migrate(self, homes_T: I8, seconds: float) -> None:
        """Take a placement in as the best of all, in place of the last elite."""
        keys = encoded(self.decoder, self.keys, homes_T)
        last = self.config.elites - 1
        self.priority_PT[last], self.preference_PTH[last] = keys.priority_T, keys.preference_TH
        self.seconds_P[last] = seconds

    def _breed(self, order_P: NDArray[np.int64]) -> None:
        """The next generation from this one, given its chromosomes by latency."""
        config, rng = self.config, self.rng
        first, last = config.elites, config.size - config.newcomers
        children, tensors = last - first, self.priority_PT.shape[1]
        elite_C = order_P[rng.integers(0, config.elites, children)]
        other_C = order_P[rng.integers(config.elites, config.size, children)]
        from_elite_CT = rng.random((children, tensors)) < config.elite_bias
        priority_PT = np.empty_like(self.priority_PT)
        preference_PTH = np.empty_like(self.preference_PTH)
        priority_PT[:first] = self.priority_PT[order_P[:first]]
        preference_PTH[:first] = self.preference_PTH[order_P[:first]]
        _cross(
            self.priority_PT, self.preference_PTH, elite_C, other_C, from_elite_CT,
            priority_PT[first:last], preference_PTH[first:last],
        )  # fmt: skip
        self._jitter(priority_PT[first:last], preference_PTH[first:last])
        priority_PT[last:], preference_PTH[last:] = self.propose(
            config.newcomers, rng, self.proposed
        )
        self.proposed += config.newcomers
        self.priority_PT, self.preference_PTH = priority_PT, preference_PTH
        self.seconds_P = self.seconds_P[order_P]
        self.seconds_P[first:] = np.inf
        self.kept = first

    def _jitter(self, priority_CT: F64, preference_CTH: F64) -> None:
        """Noise for the keys of a few tensors of each child."""
        children, tensors, homes = preference_CTH.shape
        rng, share = self.rng, min(1.0, self.config.mutated / max(1, tensors))
        count = int(rng.binomial(children * tensors, share))
        child, tensor = np.divmod(rng.integers(0, max(1, children * tensors), count), tensors)
        noise = JITTER * rng.standard_normal((count, 1 + homes))
        priority_CT[child, tensor] += PRIORITY_NOISE * noise[:, 0]
        preference_CTH[child, tensor] += PREFERENCE_NOISE * noise[:, 1:]


def begin_population(
    config: PopulationConfig,
    decoder: Decoder,
    decode: Decode,
    propose: Propose,
    keys: Keys,
    starts: list[Keys],
    rng: np.random.Generator,
) -> Population:
    """A first generation: the starts, then samples of the policy.

    Args:
        config: sizes and rates.
        decoder: of the problem.
        decode: chromosomes to placements, and whether they fit.
        propose: newcomers, given how many there were before.
        keys: by which what local search finds is encoded.
        starts: keys to begin with, no more than the size.
        rng: source of all randomness.
    """
    priority_PT, preference_PTH = propose(config.size, rng, 0)
    for position, start in enumerate(starts[: config.size]):
        priority_PT[position], preference_PTH[position] = start.priority_T, start.preference_TH
    return Population(
        config,
        decoder,
        decode,
        propose,
        keys,
        rng,
        priority_PT,
        preference_PTH,
        np.full(config.size, np.inf),
        config.size,
    )


def encoded(decoder: Decoder, keys: Keys, homes_T: I8) -> Keys:
    """Keys that decode to a placement: what is in inner tiers first, each in its home."""
    preference_TH = keys.preference_TH.copy()
    tensors = np.arange(len(homes_T))
    best_T = preference_TH.max(axis=1)
    preference_TH[tensors, homes_T] = best_T + FOUND
    depth_T = decoder.tables.tier_H[homes_T]
    span = float(keys.priority_T.max() - keys.priority_T.min()) + 1.0
    return Keys(keys.priority_T + span * depth_T, preference_TH)


@compiled
def _cross(
    priority_PT: F64,
    preference_PTH: F64,
    elite_C: NDArray[np.int64],
    other_C: NDArray[np.int64],
    from_elite_CT: NDArray[np.bool_],
    child_priority_CT: F64,
    child_preference_CTH: F64,
) -> None:
    """Fill the children's keys: each tensor's from one parent."""
    for c in range(elite_C.shape[0]):
        for t in range(priority_PT.shape[1]):
            p = elite_C[c] if from_elite_CT[c, t] else other_C[c]
            child_priority_CT[c, t] = priority_PT[p, t]
            for h in range(preference_PTH.shape[2]):
                child_preference_CTH[c, t, h] = preference_PTH[p, t, h]
