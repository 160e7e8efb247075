"""`random-key`: a biased random-key genetic algorithm over the greedy decoder.

After Goncalves and Resende, "Biased random-key genetic algorithms for combinatorial optimization"
(Journal of Heuristics 17, 2011). A chromosome has two keys in [0, 1) per tensor: its priority
(highest is placed first) and its preferred home (0 is the first of its homes, innermost first).
Elites survive, mutants are random, the rest are crossed: each key comes from the elite parent with
probability `elite_bias`. Every chromosome decodes to a placement that fits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.compiled import compiled
from accelerator_sim.incremental.state import Tables
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier
from egrl.evaluators.base import Evaluator
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, Search, no_progress
from egrl.placers.decoder import Decoder, build_decoder, decode_kernel
from egrl.placers.falling import falling
from egrl.placers.fitting import Occupancy
from egrl.placers.greedy import density_order
from egrl.placers.native import execution_order

DEFAULT_EVALUATIONS = 20_000

PRIORITY, PREFERENCE = range(2)
"""Rows of a chromosome."""

SEEDED = 24
"""Chromosomes of the first generation that are made from known orders."""

INNERMOST_SHARE = 0.75
"""Preference keys below this are for the first home; the others share the rest."""


@dataclass(frozen=True, slots=True)
class RandomKey(Placer):
    """Biased random-key genetic algorithm over priorities and preferred homes.

    Attributes:
        start_T: int8, a placement to begin with, or None.
        population: chromosomes per generation.
        elites: that survive.
        mutants: fresh random ones per generation.
        elite_bias: probability that a key comes from the elite parent.
        stall_generations: without improvement before all but the best start anew.
        evaluator: the machine to search on; the engine where None.
    """

    start_T: NDArray[np.int8] | None = None
    population: int = 64
    elites: int = 12
    mutants: int = 8
    elite_bias: float = 0.7
    stall_generations: int = 200
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
        decoder = build_decoder(problem)
        rectifier = build_rectifier(problem, decoder.tables, decoder.values)
        if not len(decoder.free):
            # Nothing to choose: one chromosome says it all.
            budget = Budget(evaluations=1)
            search.budget = budget
        keys_PFR = self._first(problem, decoder, rng)
        seconds_P = np.full(self.population, np.inf)
        stalled, kept = 0, 0
        while not search.exhausted:
            fresh = keys_PFR[kept:]
            if budget.evaluations is not None:
                fresh = fresh[: budget.evaluations - search.evaluations]
            homes_PT, decoded_P = decode_keys(decoder, fresh)
            latency_P = search.measure(homes_PT, decoded_P)
            seconds_P[kept : kept + len(fresh)] = latency_P
            best = int(latency_P.argmin())
            stalled += 1
            if latency_P[best] < search.best_s:
                stalled = 0
                offer_addressable(search, rectifier, homes_PT[best], float(latency_P[best]))
                if latency_P[best] < search.best_s:
                    # It has no addresses, and shall have no children.
                    seconds_P[kept + best] = np.inf
            order = np.argsort(seconds_P, kind="stable")
            keys_PFR, seconds_P = keys_PFR[order], seconds_P[order]
            kept = self.elites if stalled <= self.stall_generations else 1
            if kept == 1:
                stalled = 0
            keys_PFR[kept:] = self._next(keys_PFR, kept, rng)
            seconds_P[kept:] = np.inf
        return search.result()

    def _first(
        self, problem: PlacementProblem, decoder: Decoder, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """The start and the references' orders, the same with noise, and random ones."""
        keys_PFR = rng.random((self.population, 2, len(decoder.free)))
        orders = [density_order(problem, decoder), execution_order(problem)]
        seeds_SFR = [_ordered(decoder, order) for order in orders]
        if self.start_T is not None:
            seeds_SFR = [*_encoded(decoder, self.start_T, orders[0]), *seeds_SFR]
        seeded = min(self.population, SEEDED)
        for n in range(seeded):
            seed_FR = seeds_SFR[n % len(seeds_SFR)]
            noise = 0.2 * (n // len(seeds_SFR)) * len(seeds_SFR) / seeded
            keys_PFR[n, PRIORITY] = seed_FR[PRIORITY] + noise * keys_PFR[n, PRIORITY]
            # Half of them keep to the homes of the seed.
            if n < seeded // 2:
                keys_PFR[n, PREFERENCE] = seed_FR[PREFERENCE]
        return keys_PFR

    def _next(
        self, keys_PFR: NDArray[np.float64], kept: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Children of an elite and another parent each, then mutants."""
        count = self.population - kept
        fresh = rng.random((count, *keys_PFR.shape[1:]))
        children = count if kept == 1 else count - self.mutants
        if kept == 1:
            # The best one, with a few keys anew in each.
            rate = rng.random((children, 1, 1)) * 0.1
            keep = rng.random((children, *keys_PFR.shape[1:])) > rate
            return np.where(keep, keys_PFR[0], fresh)
        elite = keys_PFR[rng.integers(0, self.elites, children)]
        other = keys_PFR[rng.integers(self.elites, self.population, children)]
        from_elite = rng.random(elite.shape) < self.elite_bias
        fresh[:children] = np.where(from_elite, elite, other)
        return fresh


def _ordered(decoder: Decoder, order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Keys of an order of the free tensors, each innermost."""
    keys_FR = np.zeros((2, len(order)))
    keys_FR[PRIORITY, np.searchsorted(decoder.free, order)] = np.linspace(1.0, 0.0, len(order))
    return keys_FR


def _encoded(
    decoder: Decoder, homes_T: NDArray[np.int8], order: NDArray[np.int64]
) -> list[NDArray[np.float64]]:
    """Keys that decode to a placement, and keys that give the same but take what room is left.

    Tensors of inner tiers come first, and among those of a tier the order decides.
    """
    tier_H, choices_TH = decoder.tables.tier_H, decoder.values.order_TH
    by_tier = order[np.argsort(-tier_H[homes_T[order]], kind="stable")]
    exact_FR = _ordered(decoder, by_tier)
    for r, t in enumerate(decoder.free.tolist()):
        count = int((choices_TH[t] >= 0).sum())
        position = int(np.flatnonzero(choices_TH[t] == homes_T[t])[0])
        if position > 0:
            step = (1.0 - INNERMOST_SHARE) / (count - 1)
            exact_FR[PREFERENCE, r] = INNERMOST_SHARE + (position - 0.5) * step
    filling_FR = exact_FR.copy()
    outermost = tier_H[homes_T[decoder.free]] == 0
    filling_FR[PREFERENCE, outermost] = 0.0
    return [exact_FR, filling_FR]


def decode_keys(
    decoder: Decoder, keys_PFR: NDArray[np.float64]
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """The placements of P chromosomes, and whether everything found a place."""
    homes_PT = np.zeros((len(keys_PFR), len(decoder.values.ideal_T)), np.int8)
    decoded_P = np.zeros(len(keys_PFR), np.bool_)
    decode_population(
        decoder.tables, decoder.occupancy, decoder.pinned, decoder.free, decoder.values.order_TH,
        decoder.ring_needed, keys_PFR, homes_PT, decoded_P,
    )  # fmt: skip
    return homes_PT, decoded_P


@compiled
def decode_population(
    tables: Tables,
    occupancy: Occupancy,
    pinned: NDArray[np.int64],
    free: NDArray[np.int64],
    order_TH: NDArray[np.int8],
    ring_needed: bool,
    keys_PFR: NDArray[np.float64],
    homes_PT: NDArray[np.int8],
    decoded_P: NDArray[np.bool_],
) -> None:
    """Fill `homes_PT` and `decoded_P`."""
    first_T = np.zeros(order_TH.shape[0], np.int64)
    for p in range(keys_PFR.shape[0]):
        for r in range(free.shape[0]):
            t = free[r]
            first_T[t] = 0
            key = keys_PFR[p, PREFERENCE, r]
            if key >= INNERMOST_SHARE:
                count = 0
                while count < order_TH.shape[1] and order_TH[t, count] >= 0:
                    count += 1
                scaled = (key - INNERMOST_SHARE) / (1.0 - INNERMOST_SHARE)
                first_T[t] = 1 + min(count - 2, int(scaled * (count - 1)))
        order = free[falling(keys_PFR[p, PRIORITY])]
        decoded_P[p] = decode_kernel(
            tables, occupancy, pinned, order, order_TH, first_T, ring_needed, homes_PT[p]
        )
