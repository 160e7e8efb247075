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
from accelerator_sim.incremental.moves import build_state
from accelerator_sim.incremental.state import KEPT, TOTAL, State
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.value import op_seconds_N
from egrl.placers.base import Budget, Placer, PlacerResult, Progress, no_progress
from egrl.placers.lns_pick import Picker, pick_random
from egrl.placers.milp import Limits, Solved, solve_program
from egrl.placers.neighbourhood import Neighbourhood, build_neighbourhood
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

OPS_PER_OFFER = 1000
"""Addresses take long to find in large graphs: solves save up an improvement for so many ops."""

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
    nodes: int = 250
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
            ideal_N = op_seconds_N(session.decoder.tables, session.decoder.values.ideal_T)
            rounds = _Rounds(self, session, rng, ideal_N, self.size)
            while not session.search.exhausted:
                rounds.next()
            rounds.offer()
        return session.search.result()


@dataclass(slots=True)
class _Rounds:
    """The rounds of one search.

    Attributes:
        lns: its parameters.
        session: its state.
        rng: source of all randomness.
        ideal_N: seconds of every op with everything in its ideal home.
        size: of the next neighbourhood.
        state: the placement that solves improve, or None for the session's best.
        owed: improvements that were not offered yet.
        closed: everything was solved at once to its end, which needs no second time.
        rate: seconds of latency gained for a unit of cost, by solves and by walks.
        count: rounds so far.
        turn: walks so far.
        evaluations_per_s: of walks.
    """

    lns: Lns
    session: Session
    rng: np.random.Generator
    ideal_N: NDArray[np.float64]
    size: float
    state: State | None = None
    owed: int = 0
    closed: bool = False
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
        if self.closed:
            what = WALK
        began, evaluations = time.monotonic(), search.evaluations
        gained_s = self._solve() if what == SOLVE else self._walk()
        timed = search.budget.evaluations is None
        cost = time.monotonic() - began if timed else search.evaluations - evaluations
        rate = gained_s / max(1e-9, cost)
        old = self.rate[what]
        self.rate[what] = rate if old == np.inf else FADING * old + (1.0 - FADING) * rate

    def offer(self) -> None:
        """Offer what the solves have improved, which is when it gets addresses."""
        if self.owed and self.state is not None:
            self.session.offer(self.state.homes_T.copy())
        self.state, self.owed = None, 0

    def _solve(self) -> float:
        """Solve one neighbourhood; the seconds gained."""
        session, lns = self.session, self.lns
        search, tables = session.search, session.decoder.tables
        if self.state is None:
            self.state = session.state(session.best_T)
        chosen = lns.pick(session, self.state, max(lns.least, int(self.size)), self.rng)
        near = build_neighbourhood(tables, self.state, session.capacity_bytes_L, chosen)
        solved = self._solved(near)
        if near is None or solved is None:
            return 0.0
        before_s = float(self.state.mark_SMF[KEPT, -1, TOTAL])
        now_s = before_s
        homes_T = near.homes(solved, self.state.homes_T)
        if homes_T is not None and not np.array_equal(homes_T, self.state.homes_T):
            latency_s, overflow_bytes = evaluate(search.problem, homes_T)
            if overflow_bytes <= 0 and latency_s < before_s:
                now_s, self.state = latency_s, build_state(tables, homes_T)
                self.owed += 1
        if self.owed > search.problem.op_count // OPS_PER_OFFER:
            self.offer()
        if not solved.optimal:
            self.size = max(lns.least, self.size * SHRINKAGE)
        elif len(near.tensors) == len(session.free):
            self.closed = True
        elif now_s >= before_s:
            self.size = min(lns.most, self.size * GROWTH)
        return before_s - now_s

    def _solved(self, near: Neighbourhood | None) -> Solved | None:
        """What the solver makes of a neighbourhood within the budget; accounts for it."""
        lns, search = self.lns, self.session.search
        if search.budget.evaluations is None:
            search.evaluations += 1
            left_s = (search.budget.seconds or 0.0) - search.seconds
            limits = Limits(max(0.01, min(lns.solve_seconds, left_s)), 0, RELATIVE_GAP)
        else:
            nodes = max(1, min(lns.nodes, search.budget.evaluations - search.evaluations))
            search.evaluations += nodes
            limits = Limits(0.0, nodes, RELATIVE_GAP)
        return solve_program(near.program, limits) if near is not None else None

    def _walk(self) -> float:
        """Walk from the best placement; the seconds gained."""
        session, lns = self.session, self.lns
        self.offer()
        count = lns.walk_evaluations
        if session.search.budget.evaluations is None and self.evaluations_per_s > 0.0:
            count = max(100, int(lns.walk_seconds * self.evaluations_per_s))
        hot, noise, refills = TURNS[self.turn % len(TURNS)]
        if self.turn % len(TURNS) == 0:
            session.relax()
        self.turn += 1
        before, began, best_s = session.search.evaluations, time.monotonic(), session.best_s
        state = session.state(session.best_T)
        session.walk(state, session.free, (hot * best_s, WALK_COLD * best_s), count, noise, refills)
        rate = (session.search.evaluations - before) / max(1e-6, time.monotonic() - began)
        self.evaluations_per_s = max(0.5 * self.evaluations_per_s, rate)
        return best_s - session.best_s
