"""`lns`: large-neighbourhood search; the exact solver places some tensors anew, again and again.

After Shaw, "Using constraint programming and local search methods to solve vehicle routing
problems" (CP 1998). Each round frees the tensors that a picker chooses, solves their program
(`neighbourhood.py`) with all others where they are, and lets the engine judge what came of it.
Between the solves the compiled local search descends from the incumbent; which of the two comes
next depends on what each has gained for its time. Neighbourhoods grow when they are solved without
a gain and shrink when the solver does not come to its end.

Under a budget of evaluations a solve and the evaluation of what it finds are limited to `nodes`
nodes of branch and bound and count as so many evaluations, so that the same seed gives the same
bytes; otherwise it is limited to `solve_seconds` and counts as one.
"""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, no_progress
from egrl.placers.lns_pick import Picker, pick_random
from egrl.placers.milp import Limits, solve_program
from egrl.placers.neighbourhood import build_neighbourhood
from egrl.placers.session import Session, begin

DEFAULT_EVALUATIONS = 20_000

SOLVE, WALK = range(2)
"""What a round may do."""

TRIED_ANYWAY = 5
"""One round in so many goes to what has gained less."""

FADING = 0.8
"""Weight of the past in what solves and walks have gained for their cost."""

RELATIVE_GAP = 1e-3
"""Of a solve: the engine tells better what is left below this."""

GROWTH, SHRINKAGE = 1.15, 0.75

WALK_COLD = 1e-6
"""Last temperature of a walk as a share of the latency."""

TURNS = ((5e-4, 3.0, 16), (1e-3, np.inf, 0), (1e-4, 4.0, 4), (3e-3, 4.0, 4))
"""First temperature as a share of the latency, noise and refills of `local_search.py`."""


@dataclass(frozen=True, slots=True)
class Lns(Placer):
    """Large-neighbourhood search with the exact solver.

    Attributes:
        start_T: int8, a placement to begin with, or None for the best greedy one.
        pick: chooses the tensors of a neighbourhood.
        size: tensors of the first neighbourhood.
        least: no neighbourhood has fewer.
        most: no neighbourhood has more.
        solve_seconds: of one solve, under a budget of seconds.
        nodes: of one solve, and evaluations that it counts as, under a budget of evaluations.
        walk_seconds: of one walk, under a budget of seconds.
        walk_evaluations: of one walk, under a budget of evaluations; and of the first.
    """

    start_T: NDArray[np.int8] | None = None
    pick: Picker = pick_random
    size: int = 80
    least: int = 8
    most: int = 300
    solve_seconds: float = 0.7
    nodes: int = 100
    walk_seconds: float = 0.25
    walk_evaluations: int = 1000

    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """See `Placer.place`."""
        session = begin(problem, budget, rng, progress, self.start_T, DEFAULT_EVALUATIONS)
        if len(session.free):
            rounds = _Rounds(self, session, rng, self.size)
            while not session.search.exhausted:
                rounds.next()
        return session.search.result()


@dataclass(slots=True)
class _Rounds:
    """The rounds of one search.

    Attributes:
        lns: its parameters.
        session: its state.
        rng: source of all randomness.
        size: of the next neighbourhood.
        rate: seconds of latency gained for a unit of cost, by solves and by walks.
        count: rounds so far.
        turn: walks so far.
        evaluations_per_s: of walks.
    """

    lns: Lns
    session: Session
    rng: np.random.Generator
    size: float
    rate: list[float] = field(default_factory=lambda: [np.inf, np.inf])
    count: int = 0
    turn: int = 0
    evaluations_per_s: float = 0.0

    def next(self) -> None:
        """One solve or one walk."""
        search = self.session.search
        best = SOLVE if self.rate[SOLVE] >= self.rate[WALK] else WALK
        self.count += 1
        what = 1 - best if self.count % TRIED_ANYWAY == 0 else best
        before_s, began, evaluations = search.best_s, time.monotonic(), search.evaluations
        if what == SOLVE:
            self._solve()
        else:
            self._walk()
        timed = search.budget.evaluations is None
        cost = time.monotonic() - began if timed else search.evaluations - evaluations
        rate = (before_s - search.best_s) / max(1e-9, cost)
        old = self.rate[what]
        self.rate[what] = rate if old == np.inf else FADING * old + (1.0 - FADING) * rate

    def _solve(self) -> None:
        session, lns = self.session, self.lns
        search = session.search
        state = session.state(session.best_T)
        chosen = lns.pick(session, state, max(lns.least, int(self.size)), self.rng)
        near = build_neighbourhood(session.decoder.tables, state, session.capacity_bytes_L, chosen)
        if search.budget.evaluations is None:
            left_s = (search.budget.seconds or 0.0) - search.seconds
            limits = Limits(max(0.01, min(lns.solve_seconds, left_s)), 0, RELATIVE_GAP)
            search.evaluations += 1
        else:
            nodes = max(1, min(lns.nodes, search.budget.evaluations - search.evaluations))
            limits = Limits(0.0, nodes, RELATIVE_GAP)
            search.evaluations += nodes
        if near is None:
            return
        solved = solve_program(near.program, limits)
        before_s = search.best_s
        homes_T = near.homes(solved, state.homes_T)
        if homes_T is not None and not np.array_equal(homes_T, session.best_T):
            latency_s, overflow_bytes = evaluate(search.problem, homes_T)
            if overflow_bytes <= 0 and latency_s < session.best_s:
                session.offer(homes_T)
        if not solved.optimal:
            self.size = max(lns.least, self.size * SHRINKAGE)
        elif not search.best_s < before_s:
            self.size = min(lns.most, self.size * GROWTH)

    def _walk(self) -> None:
        session, lns = self.session, self.lns
        count = lns.walk_evaluations
        if session.search.budget.evaluations is None and self.evaluations_per_s > 0.0:
            count = max(100, int(lns.walk_seconds * self.evaluations_per_s))
        hot, noise, refills = TURNS[self.turn % len(TURNS)]
        self.turn += 1
        before, began = session.search.evaluations, time.monotonic()
        best_s = session.best_s
        state = session.state(session.best_T)
        session.walk(state, session.free, (hot * best_s, WALK_COLD * best_s), count, noise, refills)
        rate = (session.search.evaluations - before) / max(1e-6, time.monotonic() - began)
        self.evaluations_per_s = max(0.5 * self.evaluations_per_s, rate)
