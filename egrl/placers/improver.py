"""Annealing from an incumbent in turns: hotter and colder, with and without refills."""

import time
from dataclasses import dataclass, field

import numpy as np

from egrl.placers.session import Session

TURNS: tuple[tuple[float, float, int], ...] = (
    (1e-3, np.inf, 0),
    (1e-4, 4.0, 4),
    (3e-3, 4.0, 4),
    (3e-4, np.inf, 0),
)
"""First temperature as a share of the best latency, noise and refills of `local_search.py`."""

COLD_SHARE = 1e-6
"""Last temperature of every turn."""

FIRST_EVALUATIONS = 500
"""Of the first turn of each kind under a budget of time, which tells how fast the machine is."""


@dataclass(slots=True)
class Improver:
    """Annealing from the incumbent, in turns: hotter and colder, with and without refills.

    Attributes:
        session: whose incumbent to improve.
        evaluations_per_s: seen so far, by kind of turn.
        turn: how many turns were taken.
    """

    session: Session
    evaluations_per_s: list[float] = field(default_factory=lambda: [0.0] * len(TURNS))
    turn: int = 0

    def for_seconds(self, seconds: float) -> None:
        """One turn of about so many seconds."""
        kind = self.turn % len(TURNS)
        known = self.evaluations_per_s[kind]
        count = FIRST_EVALUATIONS if known == 0.0 else max(100, int(seconds * known))
        began, before = time.monotonic(), self.session.search.evaluations
        self.for_evaluations(count)
        evaluated = self.session.search.evaluations - before
        rate = evaluated / max(1e-6, time.monotonic() - began)
        # The first turn compiles or loads the compiled code; it must not set the pace for good.
        self.evaluations_per_s[kind] = max(0.5 * known, rate)

    def for_evaluations(self, count: int) -> None:
        """One turn of so many evaluations, from the incumbent."""
        session = self.session
        start_T, best_s = session.search.best_homes_T, session.search.best_s
        assert start_T is not None
        session.best_T, session.best_s = start_T, best_s
        hot_share, noise, refills = TURNS[self.turn % len(TURNS)]
        if self.turn % len(TURNS) == 0:
            session.relax()
        self.turn += 1
        if not len(session.free):
            session.search.evaluations += count
            return
        state = session.state(start_T)
        session.walk(
            state, session.free, (hot_share * best_s, COLD_SHARE * best_s), count, noise, refills
        )
