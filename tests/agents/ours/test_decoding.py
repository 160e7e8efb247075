import numpy as np
import pytest

from accelerator_sim.engine import evaluate, evaluate_batch
from egrl.agents.egrl.decoding import decode_keys
from egrl.agents.egrl.observation import observe
from egrl.agents.egrl.policy import draw_noise, noisy_keys, rule_keys
from egrl.agents.egrl.population import encoded
from egrl.agents.egrl.solution import solution_of
from egrl.agents.egrl.spans import span_max_LT, span_mean_LT
from egrl.placers.acts_first import ActsFirst
from egrl.placers.base import Budget
from egrl.placers.decoder import build_decoder
from tests.agents.ours.support import generated, random_problem


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_decoded_fits(seed):
    problem = generated(seed)
    decoder = build_decoder(problem)
    rng = np.random.default_rng(seed)
    tensors, homes = problem.allowed_TH.shape
    preference = np.where(
        problem.allowed_TH, 10 * rng.standard_normal((8, tensors, homes)), -np.inf
    )
    homes_PT, decoded_P = decode_keys(decoder, rng.standard_normal((8, tensors)), preference)
    assert decoded_P.any()
    assert problem.allowed_TH[np.arange(tensors), homes_PT[decoded_P]].all()
    assert evaluate_batch(problem, homes_PT[decoded_P]).feasible_P.all()


def test_highest_priority_gets_its_preferred_home():
    problem = random_problem(30)
    decoder = build_decoder(problem)
    inner = len(problem.homes) - 1
    preference = np.where(problem.allowed_TH, 0.0, -np.inf)
    preference[:, 0] += 1.0  # all want to be outside but one
    chosen = next(
        t
        for t in decoder.free.tolist()
        if problem.allowed_TH[t, inner] and problem.allowed_TH[t, 0]
    )
    preference[chosen, inner] = 2.0
    homes_PT, decoded_P = decode_keys(
        decoder, np.zeros((1, problem.tensor_count)), preference[np.newaxis]
    )
    assert decoded_P[0]
    assert homes_PT[0, chosen] == inner
    others = np.setdiff1d(decoder.free, [chosen])
    outermost = others[problem.allowed_TH[others, 0]]
    assert (homes_PT[0, outermost] == 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_encoded_placements_decode_to_themselves(seed):
    problem = generated(seed)
    decoder = build_decoder(problem)
    homes_T = ActsFirst().place(problem, Budget(), np.random.default_rng(0)).homes_T
    keys = encoded(decoder, rule_keys(observe(problem, decoder)), homes_T)
    homes_PT, decoded_P = decode_keys(
        decoder, keys.priority_T[np.newaxis], keys.preference_TH[np.newaxis]
    )
    assert decoded_P[0]
    # The decoder reserves the staging ring before all else; only that may displace something.
    assert (homes_PT[0] == homes_T).mean() > 0.99


def test_samples_mirror_each_other():
    problem = random_problem(20)
    keys = rule_keys(observe(problem, build_decoder(problem)))
    noise = draw_noise(6, problem.tensor_count, len(problem.homes), np.random.default_rng(0))
    priority, preference = noisy_keys(keys, noise)
    assert np.allclose(priority[:3] + priority[3:], 2 * keys.priority_T)
    allowed = problem.allowed_TH
    assert np.allclose((preference[0] + preference[3])[allowed], 2 * keys.preference_TH[allowed])
    assert (priority.std(axis=0) > 0).all()


def test_regrets_are_what_single_moves_cost():
    problem = random_problem(25, seed=3)
    decoder = build_decoder(problem)
    homes_T = ActsFirst().place(problem, Budget(), np.random.default_rng(0)).homes_T
    found = solution_of(decoder, homes_T)
    base_s, _ = evaluate(problem, homes_T)
    assert found.latency_s == pytest.approx(base_s, rel=1e-12)
    for t in range(problem.tensor_count):
        for h in range(len(problem.homes)):
            if not problem.allowed_TH[t, h]:
                assert np.isinf(found.regret_TH[t, h])
                continue
            moved_T = homes_T.copy()
            moved_T[t] = h
            seconds, over = evaluate(problem, moved_T)
            assert found.regret_TH[t, h] == pytest.approx(seconds - base_s, abs=1e-15)
            assert found.fits_TH[t, h] == (over <= 0)
    assert (found.regret_TH[np.isfinite(found.regret_TH)] != 0.0).any()


def test_spans_against_loops():
    rng = np.random.default_rng(0)
    value_LN = rng.standard_normal((3, 37))
    start_T = rng.integers(0, 37, 50)
    end_T = np.minimum(37, start_T + rng.integers(0, 20, 50))
    most, mean = span_max_LT(value_LN, start_T, end_T), span_mean_LT(value_LN, start_T, end_T)
    for t, (start, end) in enumerate(zip(start_T, end_T, strict=True)):
        part = value_LN[:, start:end]
        if end > start:
            assert np.allclose(most[:, t], part.max(axis=1))
            assert np.allclose(mean[:, t], part.mean(axis=1))
        else:
            assert (most[:, t] == 0).all()
            assert (mean[:, t] == 0).all()
