from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from accelerator_sim.engine import evaluate, evaluate_batch
from egrl.agents.egrl.config import DEFAULT
from egrl.agents.egrl.correction import build_correction
from egrl.agents.egrl.planner import build_planner
from egrl.evaluators.perturbed import PerturbedEvaluator
from egrl.placers.acts_first import ActsFirst
from egrl.placers.base import Budget
from egrl.placers.decoder import build_decoder
from egrl.placers.egrl import Egrl
from egrl.placers.random_key import RandomKey
from tests.agents.ours.support import generated, random_problem


def dense_mean(correction, problem):
    """The posterior mean by the textbook's formula, a column per term and no shortcuts."""
    tensors, homes = problem.allowed_TH.shape
    columns, spreads, where = [], [], []
    places = [(t, h) for t in range(tensors) for h in range(homes)]
    lives = list(correction.homes_MT[: correction.seen])
    for t, h in places:
        columns.append([float(homes_T[t] == h) for homes_T in lives])
        spreads.append(correction.spread * correction.own_TH[t, h])
        where.append((t, h))
    for term_TH in correction.common_GTH:
        columns.append([float(term_TH[np.arange(tensors), homes_T].sum()) for homes_T in lives])
        spreads.append(correction.spread)
    modelled = np.array(correction.modelled_s)
    columns.append(modelled.tolist())
    spreads.append(DEFAULT.scale_spread)
    columns.append([1.0] * len(lives))
    spreads.append(DEFAULT.scale_spread * modelled.mean())
    x = np.array(columns).T * np.array(spreads)
    noise = correction.noise_share * modelled.mean()
    y = np.array(correction.measured_s) - modelled
    weights = x.T @ np.linalg.solve(x @ x.T + noise**2 * np.eye(len(y)), y) * np.array(spreads)
    bias_TH = np.zeros((tensors, homes))
    for (t, h), weight in zip(where, weights[: len(where)], strict=True):
        bias_TH[t, h] += weight
    common = weights[len(where) : len(where) + len(correction.common_GTH)]
    return 1.0 + weights[-2], bias_TH + np.tensordot(common, correction.common_GTH, 1)


def measured(problem, count, rng):
    correction = build_correction(problem, build_decoder(problem))
    truth = PerturbedEvaluator(problem, 4, 0.3)
    base_T = ActsFirst().place(problem, Budget(), rng).homes_T
    for _ in range(count):
        homes_T = base_T.copy()
        for t in rng.choice(problem.free_tensors, 5).tolist():
            homes_T[t] = rng.choice(np.flatnonzero(problem.allowed_TH[t]))
        seconds = float(truth.measure(homes_T[np.newaxis])[0])
        correction.add(homes_T, evaluate(problem, homes_T)[0], seconds)
    return correction, truth, base_T


def test_the_likeliest_machine_is_the_posterior_mean():
    problem = random_problem(10)
    correction, _, _ = measured(problem, 12, np.random.default_rng(0))
    factor, bias_TH = correction.posterior().draw(np.random.default_rng(1), 0.0)
    expected_factor, expected_TH = dense_mean(correction, problem)
    assert factor == pytest.approx(expected_factor, rel=1e-6)
    assert np.allclose(bias_TH, expected_TH, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("count", [9, 10, 11, 75])
def test_the_slowest_of_the_older_half_are_forgotten(count):
    problem, rng = random_problem(10), np.random.default_rng(count)
    small = replace(DEFAULT, most_measurements=10)
    found = build_correction(problem, build_decoder(problem), small)
    whole, _, _ = measured(problem, count, rng)
    told = list(zip(whole.homes_MT, whole.modelled_s, whole.measured_s, strict=False))
    for homes_T, modelled_s, measured_s in told:
        found.add(homes_T, modelled_s, measured_s)
    older = range(max(0, count - 5))
    fastest = sorted(older, key=lambda m: (told[m][2], m))[:5]
    expected = build_correction(problem, build_decoder(problem), small)
    for m in [*sorted(fastest), *range(max(0, count - 5), count)]:
        expected.add(*told[m])
    one, other = found.posterior(), expected.posterior()
    assert len(one.residual_M) == min(count, 10)
    for name in ("homes_MT", "common_MG", "modelled_M", "residual_M"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    kept = slice(len(one.residual_M))
    assert found.covariance_MM[kept, kept] == pytest.approx(expected.covariance_MM[kept, kept])
    assert found.seen == count


def test_draws_scatter_around_the_mean_and_less_where_it_was_measured():
    problem = random_problem(10)
    correction, _, _ = measured(problem, 30, np.random.default_rng(0))
    posterior = correction.posterior()
    rng = np.random.default_rng(2)
    _, mean_TH = posterior.draw(rng, 0.0)
    draws = np.stack([posterior.draw(rng, 1.0)[1] for _ in range(400)])
    error = draws.std(axis=0) / np.sqrt(400)
    assert (np.abs(draws.mean(axis=0) - mean_TH) <= 5 * error + 1e-15).mean() > 0.99
    prior = build_correction(problem, build_decoder(problem))
    prior.spread = correction.spread
    loose = np.stack([prior.posterior().draw(rng, 1.0)[1] for _ in range(400)]).std(axis=0)
    moved = loose > 0
    assert draws.std(axis=0)[moved].sum() < loose[moved].sum()


def test_what_was_learned_predicts_what_was_not_measured():
    problem = random_problem(20)
    rng = np.random.default_rng(0)
    correction, truth, base_T = measured(problem, 80, rng)
    correction.tune()
    factor, bias_TH = correction.posterior().draw(rng, 0.0)
    others = []
    for _ in range(40):
        homes_T = base_T.copy()
        for t in rng.choice(problem.free_tensors, 5).tolist():
            homes_T[t] = rng.choice(np.flatnonzero(problem.allowed_TH[t]))
        others.append(homes_T)
    homes_PT = np.stack(others)
    modelled = evaluate_batch(problem, homes_PT).latency_s_P
    real = truth.measure(homes_PT)
    predicted = factor * modelled + bias_TH[np.arange(homes_PT.shape[1]), homes_PT].sum(axis=1)
    assert np.std(predicted - real) < 0.5 * np.std(modelled - real)


def test_plans_fit_and_are_better_by_the_corrected_model():
    problem = generated(2)
    rng = np.random.default_rng(0)
    planner = build_planner(problem, build_decoder(problem), rng)
    start_T = ActsFirst().place(problem, Budget(), rng).homes_T
    bias_TH = 1e-6 * rng.standard_normal(problem.allowed_TH.shape)
    tensors = np.arange(problem.tensor_count)

    def corrected(homes_T):
        return 2.0 * evaluate(problem, homes_T)[0] + bias_TH[tensors, homes_T].sum()

    found_T = planner.plan(start_T, 2.0, bias_TH, 1e-3, 2000)
    assert evaluate(problem, found_T)[1] <= 0
    assert corrected(found_T) <= corrected(start_T) + 1e-15
    assert corrected(found_T) < corrected(start_T)  # there is something to gain here


def test_search_on_an_unknown_machine_beats_chance_and_keeps_its_budget():
    problem = random_problem(40)
    truth = PerturbedEvaluator(problem, 1, 0.4)
    start_T = ActsFirst().place(problem, Budget(), np.random.default_rng(0)).homes_T
    budget = Budget(evaluations=80)
    ours = Egrl(policy=None, start_T=start_T, evaluator=truth)
    found = ours.place(problem, budget, np.random.default_rng(0))
    again = ours.place(problem, budget, np.random.default_rng(0))
    assert found.homes_T.tobytes() == again.homes_T.tobytes()
    assert found.evaluations <= 80 + 8  # repairs of placements without addresses
    assert found.latency_s == pytest.approx(float(truth.measure(found.homes_T[np.newaxis])[0]))
    other = RandomKey(start_T=start_T, evaluator=truth)
    assert found.latency_s <= other.place(problem, budget, np.random.default_rng(0)).latency_s


class Broken:
    """Fails on every second placement."""

    def __init__(self, truth):
        self.truth, self.count = truth, 0

    def measure(self, homes_PT):
        seconds = self.truth.measure(homes_PT)
        for p in range(len(seconds)):
            self.count += 1
            if self.count % 2 == 0:
                seconds[p] = np.nan
        return seconds


def test_a_machine_that_fails_now_and_then_is_searched_on():
    problem = random_problem(25)
    truth = Broken(PerturbedEvaluator(problem, 1, 0.3))
    found = Egrl(policy=None, evaluator=truth).place(
        problem, Budget(evaluations=40), np.random.default_rng(0)
    )
    assert np.isfinite(found.latency_s)
    assert truth.count >= 40


def test_predictions_are_those_of_the_likeliest_machine():
    problem = random_problem(10)
    rng = np.random.default_rng(0)
    correction, truth, base_T = measured(problem, 12, rng)
    homes_PT = np.stack([*correction.homes_MT[: correction.seen], base_T])
    modelled = evaluate_batch(problem, homes_PT).latency_s_P
    assert np.array_equal(
        build_correction(problem, build_decoder(problem)).posterior().predict(homes_PT, modelled),
        modelled,
    )
    posterior = correction.posterior()
    predicted = posterior.predict(homes_PT, modelled)
    factor, bias_TH = posterior.draw(rng, 0.0)
    drawn = factor * modelled + bias_TH[np.arange(homes_PT.shape[1]), homes_PT].sum(axis=1)
    # Draws leave out what all placements have in common.
    assert np.ptp(predicted - drawn) < 1e-6 * modelled.mean()
    real = truth.measure(homes_PT)
    noise = correction.noise_share * modelled.mean()
    assert np.abs(predicted - real)[:-1].max() < 3 * noise < np.abs(modelled - real)[:-1].max()


def test_the_number_of_cores_changes_no_byte():
    problem = random_problem(20)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            correction, _, base_T = measured(problem, 130, np.random.default_rng(0))
            correction.tune()
            posterior = correction.posterior()
            factor, bias_TH = posterior.draw(np.random.default_rng(1), 1.0)
            predicted = posterior.predict(base_T[np.newaxis], np.ones(1))
        found.append((posterior.inverse_MM.tobytes(), factor, bias_TH.tobytes(), predicted[0]))
    assert found[0] == found[1]
