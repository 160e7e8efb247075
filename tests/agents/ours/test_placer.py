from pathlib import Path

import numpy as np
import pytest

from accelerator_sim.engine import evaluate
from accelerator_sim.rectify import build_rectifier
from egrl.agents.egrl import policy
from egrl.agents.egrl.population import PopulationConfig
from egrl.agents.egrl.zero_shot import zero_shot
from egrl.placers.acts_first import ActsFirst
from egrl.placers.base import Budget
from egrl.placers.decoder import build_decoder
from egrl.placers.egrl import Egrl
from egrl.placers.native import Native
from graph_ir.errors import InputError
from tests.agents.ours.support import generated, random_problem

VARIANTS = {
    "whole": Egrl(),
    "untrained": Egrl(policy=None),
    "shuffled": Egrl(spoilt="shuffled"),
    "softmax": Egrl(head="softmax"),
    "no seeds": Egrl(seeds=False),
    "no search": Egrl(search=False),
    "no walks": Egrl(walks=False, population=PopulationConfig(mutated=0.0)),
}


@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_variant_places_within_its_budget_and_repeats(name):
    problem = generated(4)
    results = [
        VARIANTS[name].place(problem, Budget(evaluations=300), np.random.default_rng(7))
        for _ in range(2)
    ]
    assert results[0].homes_T.tobytes() == results[1].homes_T.tobytes()
    assert results[0].curve == results[1].curve
    assert results[0].evaluations <= 300 + 8  # repairs of placements without addresses
    latency_s, over = evaluate(problem, results[0].homes_T)
    assert over <= 0
    assert latency_s == pytest.approx(results[0].latency_s, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_with_its_seeds_it_is_never_slower_than_the_references(seed):
    problem = generated(seed)
    found = Egrl(search=False).place(problem, Budget(), np.random.default_rng(0))
    for reference in (Native(), ActsFirst()):
        other = reference.place(problem, Budget(), np.random.default_rng(0))
        assert found.latency_s <= other.latency_s * (1 + 1e-12)


def test_a_budget_of_seconds_is_kept():
    problem = random_problem(60)
    Egrl().place(problem, Budget(evaluations=100), np.random.default_rng(0))  # compiled
    found = Egrl().place(problem, Budget(seconds=0.5), np.random.default_rng(0))
    assert found.seconds < 5.0
    assert found.evaluations > 70


class Asked(Exception):
    """The network has been asked."""


def held_when_the_network_is_asked(problem, monkeypatch, budget, placer=None):
    """Latencies of the incumbents until then."""
    held: list[float] = []

    def infer(*_):
        raise Asked

    monkeypatch.setattr(policy, "infer", infer)
    with pytest.raises(Asked):
        (placer or Egrl()).place(
            problem, budget, np.random.default_rng(0), lambda _, best_s: held.append(best_s)
        )
    return held


def test_where_time_counts_the_rule_is_held_before_the_network_is_asked(monkeypatch):
    problem = generated(4)
    held = held_when_the_network_is_asked(problem, monkeypatch, Budget(seconds=60.0))
    acts = ActsFirst().place(problem, Budget(), np.random.default_rng(0))
    decoder = build_decoder(problem)
    rectifier = build_rectifier(problem, decoder.tables, decoder.values)
    rule_PT = zero_shot(problem, decoder, rectifier, None, np.random.default_rng(0)).alone()
    rule_s = evaluate(problem, rule_PT[0])[0]
    assert held[0] == acts.latency_s
    assert held[-1] <= min(acts.latency_s, rule_s)
    assert held == sorted(held, reverse=True)


def test_where_evaluations_count_the_network_is_asked_first(monkeypatch):
    problem = generated(4)
    assert held_when_the_network_is_asked(problem, monkeypatch, Budget(evaluations=60)) == []
    alone = Egrl(seeds=False)
    assert held_when_the_network_is_asked(problem, monkeypatch, Budget(seconds=60), alone) == []


def test_a_start_is_never_lost():
    problem = generated(5)
    start = Egrl().place(problem, Budget(evaluations=2000), np.random.default_rng(1))
    found = Egrl(start_T=start.homes_T).place(
        problem, Budget(evaluations=10), np.random.default_rng(2)
    )
    assert found.latency_s <= start.latency_s * (1 + 1e-12)


def test_a_policy_that_is_not_there_is_named():
    with pytest.raises(InputError, match="nowhere"):
        Egrl(policy=Path("nowhere")).place(
            random_problem(20), Budget(evaluations=1), np.random.default_rng(0)
        )


def test_the_curve_ends_with_the_result():
    found = Egrl().place(random_problem(40), Budget(evaluations=1500), np.random.default_rng(0))
    counts = [count for count, _ in found.curve]
    seconds = [value for _, value in found.curve]
    assert counts == sorted(counts)
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] == found.latency_s
