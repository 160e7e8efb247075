"""The population of keys: crossover, jitter, newcomers and migration on known chromosomes."""

import numpy as np
import pytest

from egrl.agents.egrl.policy import Keys
from egrl.agents.egrl.population import PopulationConfig, begin_population
from egrl.placers.base import Budget
from egrl.placers.decoder import build_decoder
from tests.agents.ours.support import random_problem

NEWCOMER = 1000.0


class Bench:
    """A population whose chromosomes are told apart by their numbers, and its latencies too."""

    def __init__(self, config, seconds_P):
        self.problem = random_problem(30)
        self.decoder = build_decoder(self.problem)
        self.shape = self.problem.allowed_TH.shape
        self.turns = []
        self.seen = []
        keys = Keys(np.zeros(self.shape[0]), np.zeros(self.shape))
        self.population = begin_population(
            config, self.decoder, self.decode, self.propose, keys, [], np.random.default_rng(0)
        )
        for p in range(config.size):
            self.population.priority_PT[p] = p
            self.population.preference_PTH[p] = p
        self.search = Scripted(seconds_P)

    def decode(self, priority_PT, preference_PTH):
        self.seen.append((priority_PT.copy(), preference_PTH.copy()))
        homes_PT = np.zeros(priority_PT.shape, np.int8) + self.problem.allowed_TH.argmax(axis=1)
        return homes_PT.astype(np.int8), np.ones(len(priority_PT), np.bool_)

    def propose(self, count, _rng, turn):
        self.turns.append((count, turn))
        first = NEWCOMER + turn
        number_P = first + np.arange(count)
        return (
            np.repeat(number_P[:, None], self.shape[0], axis=1),
            np.broadcast_to(number_P[:, None, None], (count, *self.shape)).copy(),
        )


def bred(config, seconds_P):
    """A population after one generation with given latencies."""
    bench = Bench(config, seconds_P)
    bench.population.generation(bench.search)
    return bench


class Scripted:
    """A search that gives latencies in turn."""

    def __init__(self, seconds_P):
        self.budget, self.evaluations, self.seconds_P = Budget(evaluations=10_000), 0, [*seconds_P]

    def measure(self, homes_PT, _fits_P):
        found, self.seconds_P = self.seconds_P[: len(homes_PT)], self.seconds_P[len(homes_PT) :]
        self.evaluations += len(homes_PT)
        return np.array(found)


CONFIG = PopulationConfig(size=12, elites=3, newcomers=2, elite_bias=0.7, mutated=0.0)
SECONDS = np.array([5, 1, 9, 3, 7, 2, 8, 6, 4, 12, 11, 10], np.float64)
ELITES = [1, 5, 3]


def test_elites_survive_in_order_of_their_latency():
    population = bred(CONFIG, SECONDS).population
    assert population.priority_PT[:3, 0].tolist() == ELITES
    assert population.preference_PTH[:3, 0, 0].tolist() == ELITES
    assert population.seconds_P[:3].tolist() == [1, 2, 3]
    assert np.isinf(population.seconds_P[3:]).all()
    assert population.kept == 3


def test_children_take_each_tensors_keys_from_one_elite_and_one_other():
    population = bred(CONFIG, SECONDS).population
    shares = []
    for c in range(3, 10):
        priority_T = population.priority_PT[c]
        assert (population.preference_PTH[c] == priority_T[:, None]).all()
        parents = sorted(set(priority_T.tolist()))
        assert len(parents) == 2
        assert len(set(parents) & set(ELITES)) == 1
        shares.append(np.isin(priority_T, ELITES).mean())
    assert np.mean(shares) == pytest.approx(CONFIG.elite_bias, abs=0.1)


def test_newcomers_take_turns_and_fill_the_end():
    bench = bred(CONFIG, [*SECONDS, *np.arange(100.0, 109.0)])
    population = bench.population
    assert bench.turns == [(12, 0), (2, 12)]
    assert population.priority_PT[10:, 0].tolist() == [NEWCOMER + 12, NEWCOMER + 13]
    population.generation(bench.search)
    assert bench.turns[-1] == (2, 14)
    # Only what is new is decoded again.
    assert len(bench.seen[-1][0]) == 9


def test_jitter_meets_as_many_tensors_of_a_child_as_asked_for():
    mutated = 4.0
    config = PopulationConfig(size=300, elites=3, newcomers=2, mutated=mutated)
    population = bred(config, np.arange(300.0)).population
    children_CT = population.priority_PT[3:298]
    moved_CT = children_CT != np.round(children_CT)
    assert moved_CT.sum(axis=1).mean() == pytest.approx(mutated, rel=0.15)
    preference_CTH = population.preference_PTH[3:298]
    assert ((preference_CTH != np.round(preference_CTH)).any(axis=2) == moved_CT).all()


def test_a_migrant_takes_the_last_elites_place_and_is_not_measured_again():
    bench = bred(CONFIG, [*SECONDS, *np.full(9, 50.0)])
    population = bench.population
    homes_T = bench.problem.allowed_TH.argmax(axis=1).astype(np.int8)
    population.migrate(homes_T, 0.5)
    assert population.seconds_P[:3].tolist() == [1, 2, 0.5]
    population.generation(bench.search)
    assert population.seconds_P[:3].tolist() == [0.5, 1, 2]
    assert population.preference_PTH[0].argmax(axis=1).tolist() == homes_T.tolist()
