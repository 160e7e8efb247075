"""What comes after the policy's placement: a population of its keys and local search, in turns.

Where time is limited, which of the two goes next depends on what each has gained for its seconds.
Where evaluations are, a generation tells more than as many steps of local search, which gets its
turn when the population has stalled. What local search finds migrates into the population; what the
population finds is where local search goes on.
"""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.rectify import Rectifier
from egrl.agents.egrl.population import Population
from egrl.placers.addressable import offer_addressable
from egrl.placers.base import Search
from egrl.placers.improver import Improver
from egrl.placers.session import Session, session_from_incumbent

I8 = NDArray[np.int8]

BREED, WALK = range(2)
"""What a turn may do."""

TRIED_ANYWAY = 4
"""One turn in so many goes to what has gained less; twice as many after each that was in vain."""

LONGEST_WAIT = 32
"""At most so many."""

FADING = 0.7
"""Weight of the past in what the two have gained for their cost."""

BREEDINGS = 8
"""Generations of a turn."""

STALLED = 4
"""Turns of the population without a gain after which local search is not made to wait; under a
budget of evaluations it has no turn before that."""

WALK_EVALUATIONS = 400
"""Of a turn of local search under a budget of evaluations."""

WALK_SECONDS = 0.1
"""Likewise under a budget of seconds, or a fiftieth of it where that is more."""


@dataclass(slots=True)
class Improvement:
    """State of the search.

    Attributes:
        session: budget, incumbent, local search.
        population: of keys.
        improver: local search.
        walks: whether it takes part.
        rate: seconds of latency gained for a second, by either.
        patience: one turn in so many goes to what has gained less.
        wait: turns until the next of these.
        stalled: turns of the population without a gain.
    """

    session: Session
    population: Population
    improver: Improver
    walks: bool = True
    rate: list[float] = field(default_factory=lambda: [np.inf, np.inf])
    patience: int = TRIED_ANYWAY
    wait: int = TRIED_ANYWAY
    stalled: int = 0

    def run(self) -> None:
        """Until the budget ends."""
        while not self.session.search.exhausted:
            self.turn()

    def turn(self) -> None:
        """Some generations, or some local search."""
        search = self.session.search
        what = self._next()
        before_s, began = search.best_s, time.monotonic()
        if what == BREED:
            self._breed()
        else:
            self._walk()
        gained_s = before_s - search.best_s
        self.stalled = self.stalled + 1 if what == BREED and gained_s <= 0.0 else 0
        rate = gained_s / max(1e-9, time.monotonic() - began)
        old = self.rate[what]
        self.rate[what] = rate if old == np.inf else FADING * old + (1.0 - FADING) * rate
        if self.wait == 0:
            in_vain = gained_s <= 0.0
            self.patience = min(LONGEST_WAIT, 2 * self.patience) if in_vain else TRIED_ANYWAY
        if self.stalled >= STALLED:
            self.patience = TRIED_ANYWAY
        self.wait = self.patience if self.wait == 0 else min(self.wait, self.patience)

    def migrate(self) -> None:
        """Take the incumbent, which somebody else found, into the population."""
        search = self.session.search
        if search.best_homes_T is not None:
            self.population.migrate(search.best_homes_T, search.best_s)

    def _next(self) -> int:
        if not self.walks:
            return BREED
        if self.session.search.budget.evaluations is not None:
            return WALK if self.stalled >= STALLED else BREED
        best = BREED if self.rate[BREED] >= self.rate[WALK] else WALK
        self.wait -= 1
        return best if self.wait else 1 - best

    def _breed(self) -> None:
        search = self.session.search
        for _ in range(BREEDINGS):
            if search.exhausted:
                return
            homes_PT, latency_P = self.population.generation(search)
            best = int(latency_P.argmin())
            if latency_P[best] < search.best_s:
                offer_addressable(
                    search, self.session.rectifier, homes_PT[best], float(latency_P[best])
                )

    def _walk(self) -> None:
        search = self.session.search
        before_s = search.best_s
        if search.budget.evaluations is None:
            seconds = search.budget.seconds or 0.0
            left_s = max(0.001, seconds - search.seconds)
            self.improver.for_seconds(min(left_s, max(WALK_SECONDS, seconds / 50)))
        else:
            left = search.budget.evaluations - search.evaluations
            self.improver.for_evaluations(min(left, WALK_EVALUATIONS))
        if search.best_s < before_s:
            self.migrate()


def begin_improvement(
    search: Search,
    population: Population,
    rectifier: Rectifier,
    rng: np.random.Generator,
    walks: bool = True,
) -> Improvement:
    """Go on from the incumbent of a search, which must have one."""
    session = session_from_incumbent(search, population.decoder, rectifier, rng)
    return Improvement(session, population, Improver(session), walks)
