"""The local search of `auto`: annealing from the incumbent, hotter and colder in turn."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.incremental.moves import build_state
from accelerator_sim.incremental.state import Tables, build_tables
from accelerator_sim.rectify import Rectifier, build_rectifier
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Search
from egrl.placers.local_search import EVALUATED, search_steps

HOT_SHARES = (1e-3, 1e-4, 3e-3, 3e-4)
"""First temperature of each turn, in rotation, as a share of the best latency."""

COLD_SHARE = 1e-6
"""Last temperature of every turn."""

STEPS_PER_EVALUATION = 20
"""Proposals that do not fit are not evaluated; so many of them per evaluation end a turn."""

FIRST_EVALUATIONS = 2000


@dataclass(slots=True)
class Improver:
    """What the turns of the local search share.

    Attributes:
        search: whose incumbent to improve.
        tables: for incremental evaluation.
        rectifier: for placements without addresses.
        free: tensors that may move.
        rng: source of all randomness.
        evaluations_per_s: seen so far.
        turn: how many turns were taken.
    """

    search: Search
    tables: Tables
    rectifier: Rectifier
    free: NDArray[np.int64]
    rng: np.random.Generator
    evaluations_per_s: float = 0.0
    turn: int = 0

    def for_seconds(self, seconds: float) -> None:
        """One turn of about so many seconds."""
        count = FIRST_EVALUATIONS
        if self.evaluations_per_s > 0.0:
            count = max(100, int(seconds * self.evaluations_per_s))
        began = time.monotonic()
        evaluated = self.for_evaluations(count)
        rate = evaluated / max(1e-6, time.monotonic() - began)
        # The first turn compiles or loads the compiled code; it must not set the pace for good.
        self.evaluations_per_s = max(0.5 * self.evaluations_per_s, rate)

    def for_evaluations(self, count: int) -> int:
        """One turn of so many evaluations, from the incumbent; returns how many it took."""
        start_T = self.search.best_homes_T
        assert start_T is not None
        best_s = self.search.best_s
        hot_s = HOT_SHARES[self.turn % len(HOT_SHARES)] * best_s
        self.turn += 1
        tally_F = np.zeros(3, np.int64)
        best_T = start_T.copy()
        found_s = search_steps(
            self.tables,
            build_state(self.tables, start_T),
            self.free,
            self.free,
            self.rng.integers(1, 1 << 63, 1).astype(np.uint64),
            hot_s,
            COLD_SHARE * best_s,
            count,
            STEPS_PER_EVALUATION * count,
            best_T,
            best_s,
            tally_F,
        )
        evaluated = max(1, int(tally_F[EVALUATED]))
        self.search.evaluations += evaluated
        offer_addressable(self.search, self.rectifier, best_T, found_s)
        return evaluated


def build_improver(search: Search, rng: np.random.Generator) -> Improver:
    """The local search of a problem."""
    tables = build_tables(search.problem)
    rectifier = build_rectifier(search.problem, tables)
    return Improver(search, tables, rectifier, search.problem.free_tensors, rng)
