"""A population of keys whose newcomers are drawn from the policy.

A biased random-key genetic algorithm (Goncalves and Resende, Journal of Heuristics 17, 2011) over
the policy's keys: elites survive, children take the keys of each tensor from the elite parent with
a probability above one half, and newcomers are samples of the policy instead of uniform ones. A
placement that local search has found migrates into it as keys that decode to it.

Axis letters: P chromosomes, T tensors, H homes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egrl.agents.egrl.policy import NOISE_SCALES, PREFERENCE_NOISE, PRIORITY_NOISE, Keys
from egrl.placers.base import Search
from egrl.placers.decoder import Decoder

F64 = NDArray[np.float64]
I8 = NDArray[np.int8]

Decode = Callable[[F64, F64], tuple[I8, NDArray[np.bool_]]]

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
        mutated: share of a child's tensors whose keys are jittered.
    """

    size: int = 64
    elites: int = 12
    newcomers: int = 8
    elite_bias: float = 0.7
    mutated: float = 0.05


@dataclass(slots=True)
class Population:
    """State of an evolution.

    Attributes:
        config: sizes and rates.
        decoder: of the problem.
        decode: chromosomes to placements.
        keys: of the policy.
        rng: source of all randomness.
        priority_PT: chromosomes, the first `kept` of them evaluated.
        preference_PTH: likewise.
        seconds_P: latencies; infinite where not evaluated.
        kept: how many are.
    """

    config: PopulationConfig
    decoder: Decoder
    decode: Decode
    keys: Keys
    rng: np.random.Generator
    priority_PT: F64
    preference_PTH: F64
    seconds_P: F64
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
        order = np.argsort(self.seconds_P, kind="stable")
        self.priority_PT = self.priority_PT[order]
        self.preference_PTH = self.preference_PTH[order]
        self.seconds_P = self.seconds_P[order]
        self._breed()
        return homes_PT, latency_P

    def migrate(self, homes_T: I8, seconds: float) -> None:
        """Take a placement in as the best of all, in place of the last elite."""
        keys = encoded(self.decoder, self.keys, homes_T)
        last = self.config.elites - 1
        self.priority_PT[last], self.preference_PTH[last] = keys.priority_T, keys.preference_TH
        self.seconds_P[last] = seconds

    def _breed(self) -> None:
        config, rng = self.config, self.rng
        self.kept = config.elites
        children = config.size - config.elites - config.newcomers
        tensors = self.priority_PT.shape[1]
        elite = rng.integers(0, config.elites, children)
        other = rng.integers(config.elites, config.size, children)
        from_elite = rng.random((children, tensors)) < config.elite_bias
        priority = np.where(from_elite, self.priority_PT[elite], self.priority_PT[other])
        preference = np.where(
            from_elite[:, :, np.newaxis], self.preference_PTH[elite], self.preference_PTH[other]
        )
        jittered = rng.random((children, tensors)) < config.mutated
        noise_priority, noise_preference = _noise(rng, preference.shape)
        priority += 3.0 * jittered * noise_priority
        preference += 3.0 * jittered[:, :, np.newaxis] * noise_preference
        first, last = config.elites, config.elites + children
        self.priority_PT[first:last], self.preference_PTH[first:last] = priority, preference
        self.priority_PT[last:], self.preference_PTH[last:] = _newcomers(
            self.keys, config.newcomers, rng
        )
        self.seconds_P[first:] = np.inf


def begin_population(
    config: PopulationConfig,
    decoder: Decoder,
    decode: Decode,
    keys: Keys,
    starts: list[Keys],
    rng: np.random.Generator,
) -> Population:
    """A first generation: the starts, then samples of the policy.

    Args:
        config: sizes and rates.
        decoder: of the problem.
        decode: chromosomes to placements, and whether they fit.
        keys: of the policy.
        starts: keys to begin with, no more than the size.
        rng: source of all randomness.
    """
    priority_PT, preference_PTH = _newcomers(keys, config.size, rng)
    for position, start in enumerate(starts[: config.size]):
        priority_PT[position], preference_PTH[position] = start.priority_T, start.preference_TH
    return Population(
        config,
        decoder,
        decode,
        keys,
        rng,
        priority_PT,
        preference_PTH,
        np.full(config.size, np.inf),
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


def _newcomers(keys: Keys, count: int, rng: np.random.Generator) -> tuple[F64, F64]:
    scale_P2 = np.resize(NOISE_SCALES, (count, 2))
    priority, preference = _noise(rng, (count, *keys.preference_TH.shape))
    return (
        keys.priority_T + scale_P2[:, :1] * priority,
        keys.preference_TH + scale_P2[:, 1:, np.newaxis] * preference,
    )


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[F64, F64]:
    return (
        PRIORITY_NOISE * rng.standard_normal(shape[:2]),
        PREFERENCE_NOISE * rng.standard_normal(shape),
    )
