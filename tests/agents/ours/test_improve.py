"""Turns of the population and of local search: who goes next, and for how long."""

import itertools
from types import SimpleNamespace

import pytest

from egrl.agents.egrl.improve import BREED, LONGEST_WAIT, STALLED, TRIED_ANYWAY, WALK, Improvement
from egrl.placers import improver
from egrl.placers.base import Budget
from egrl.placers.improver import FIRST_EVALUATIONS, TURNS, Improver


class Scripted(Improvement):
    """Turns that gain what is asked for."""

    def __init__(self, gains, budget=None):
        search = SimpleNamespace(best_s=1.0, budget=budget or Budget(seconds=60.0))
        super().__init__(SimpleNamespace(search=search), None, None)
        self.gains, self.taken = gains, []

    def _breed(self):
        self._gain(BREED)

    def _walk(self):
        self._gain(WALK)

    def _gain(self, what):
        self.taken.append(what)
        self.session.search.best_s -= self.gains[what]


def turns_of(gains, count, budget=None):
    search = Scripted(gains, budget)
    for _ in range(count):
        search.turn()
    return search.taken


def test_local_search_that_gains_nothing_waits_twice_as_long_each_time():
    taken = turns_of({BREED: 1e-4, WALK: 0.0}, 400)
    walks = [turn for turn, what in enumerate(taken) if what == WALK]
    waits = [later - sooner for sooner, later in itertools.pairwise(walks[1:])]
    doubled = [TRIED_ANYWAY * 2**k for k in range(1, 4)]
    assert doubled[-1] == LONGEST_WAIT
    assert waits[:3] == doubled
    assert set(waits[3:]) == {LONGEST_WAIT}


def test_a_population_that_gains_nothing_waits_as_well():
    taken = turns_of({BREED: 0.0, WALK: 1e-4}, 400)
    assert taken.count(BREED) < 400 / TRIED_ANYWAY


def test_where_neither_gains_local_search_is_not_made_to_wait():
    taken = turns_of({BREED: 0.0, WALK: 0.0}, 200)
    walks = [turn for turn, what in enumerate(taken) if what == WALK]
    gaps = [later - sooner for sooner, later in itertools.pairwise(walks)]
    assert max(gaps) <= TRIED_ANYWAY + STALLED


def test_under_a_budget_of_evaluations_the_population_goes_until_it_stalls():
    taken = turns_of({BREED: 0.0, WALK: 0.0}, 11, Budget(evaluations=1000))
    assert taken == [*[BREED] * STALLED, WALK, *[BREED] * STALLED, WALK, BREED]
    assert WALK not in turns_of({BREED: 1e-4, WALK: 1e-4}, 50, Budget(evaluations=1000))


def test_each_kind_of_turn_has_its_own_pace(monkeypatch):
    cost_s = [1e-5, 8e-5, 8e-5, 2e-5]
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(improver.time, "monotonic", lambda: clock.now)
    session = SimpleNamespace(search=SimpleNamespace(evaluations=0))
    counts = []

    class Timed(Improver):
        def for_evaluations(self, count):
            kind = self.turn % len(TURNS)
            counts.append(count)
            clock.now += count * cost_s[kind]
            session.search.evaluations += count
            self.turn += 1

    walks = Timed(session)
    for _ in range(2 * len(TURNS)):
        walks.for_seconds(0.4)
    assert counts[: len(TURNS)] == [FIRST_EVALUATIONS] * len(TURNS)
    assert counts[len(TURNS) :] == pytest.approx([0.4 / cost for cost in cost_s], rel=0.01)
