import numpy as np
import pytest
import torch

from egrl.agents.egrl import regret
from egrl.agents.egrl.imitation import FULL_WEIGHT, MARGIN, contests, imitation_loss
from egrl.agents.egrl.network import NetworkConfig, PolicyNetwork
from egrl.agents.egrl.policy import PREFERENCE_NOISE, PRIORITY_NOISE, draw_noise
from egrl.agents.egrl.regret import build_case, lesson
from egrl.agents.egrl.solution import Solution, solution_of, solve
from egrl.placers.acts_first import ActsFirst
from egrl.placers.base import Budget
from tests.agents.ours.support import generated, random_problem


def test_gradient_is_the_mean_of_advantage_times_noise(monkeypatch):
    case = build_case(random_problem(20))
    tensors, homes = case.problem.allowed_TH.shape
    # The policy itself, then four samples of which the first is fastest.
    logs = np.array([0.0, -0.3, 0.1, 0.1, 0.1])
    monkeypatch.setattr(regret, "latency_logs", lambda *_: logs)
    made = PolicyNetwork(NetworkConfig(width=8, rounds=1))
    found = lesson(made, case, 4, np.random.default_rng(5))
    noise = draw_noise(4, tensors, homes, np.random.default_rng(5))
    sampled = logs[1:]
    advantage = (sampled.mean() - sampled) / sampled.std()
    free_T = case.problem.allowed_TH.sum(axis=1) > 1
    expected = -(advantage @ noise.priority_PT / 4) * free_T / np.sqrt(free_T.sum())
    found.priority_T.retain_grad()
    found.preference_TH.retain_grad()
    found.loss.backward()
    assert np.allclose(found.priority_T.grad.numpy() * PRIORITY_NOISE, expected, atol=1e-5)
    t = int(np.flatnonzero(free_T)[0])
    wanted = -(advantage @ noise.preference_PTH[:, t] / 4) / np.sqrt(free_T.sum())
    wanted = np.where(case.problem.allowed_TH[t], wanted, 0.0)
    got = found.preference_TH.grad.numpy()[t] * PREFERENCE_NOISE
    assert np.allclose(got, wanted, atol=1e-5)


def test_ties_teach_nothing(monkeypatch):
    case = build_case(random_problem(20))
    monkeypatch.setattr(regret, "latency_logs", lambda *_: np.full(9, -3.0))
    found = lesson(PolicyNetwork(NetworkConfig(width=8)), case, 8, np.random.default_rng(0))
    assert float(found.loss.detach()) == 0.0


def test_keys_that_decode_to_nothing_are_worse_than_the_slowest():
    case = build_case(generated(3))
    prior = case.observation.prior
    nowhere = np.full((1, *case.problem.allowed_TH.shape), -np.inf)
    logs = regret.latency_logs(
        case,
        np.stack([prior.priority_T, prior.priority_T]),
        np.concatenate([prior.preference_TH[np.newaxis], nowhere]),
    )
    assert logs[1] == pytest.approx(logs[0] + regret.FAILED)


def test_imitation_weighs_a_deviation_by_what_it_costs():
    problem = random_problem(12)
    homes_T = np.zeros(problem.tensor_count, np.int8)
    regret_TH = np.where(problem.allowed_TH, 0.0, np.inf)
    tensor = int(problem.free_tensors[0])
    home = int(np.flatnonzero(problem.allowed_TH[tensor])[1])
    regret_TH[tensor, home] = 0.5 * FULL_WEIGHT  # of a latency of one second
    solution = Solution(homes_T, 1.0, regret_TH, problem.allowed_TH)
    preference = torch.zeros(problem.allowed_TH.shape, requires_grad=True)
    priority = torch.zeros(problem.tensor_count, requires_grad=True)
    loss = imitation_loss(problem, solution, priority, preference, np.random.default_rng(0))
    loss.backward()
    changed = np.flatnonzero(np.abs(preference.grad.numpy()).sum(axis=1))
    assert changed.tolist() == [tensor]
    assert preference.grad[tensor, home] > 0 > preference.grad[tensor, 0]
    scale = np.sqrt(problem.tensor_count)
    expected = 0.5 * np.log1p(np.exp(MARGIN)) / scale
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_who_holds_what_another_wants_should_go_first():
    problem = random_problem(12)
    inner = int(problem.arrays.tier_H.max())
    home = int(np.flatnonzero(problem.arrays.tier_H == inner)[0])
    resident = [
        t
        for t in problem.free_tensors.tolist()
        if problem.arrays.start_T[t] == 0
        and problem.arrays.end_T[t] == problem.op_count
        and problem.allowed_TH[t, home]
    ]
    holder, wisher = resident[:2]
    homes_T = np.zeros(problem.tensor_count, np.int8)
    homes_T[holder] = home
    regret_TH = np.where(problem.allowed_TH, 0.0, np.inf)
    regret_TH[wisher, home] = -0.2
    outwards = problem.allowed_TH[holder] & (problem.arrays.tier_H < inner)
    regret_TH[holder, outwards] = 1.0
    fits_TH = problem.allowed_TH.copy()
    fits_TH[wisher, home] = False
    solution = Solution(homes_T, 1.0, regret_TH, fits_TH)
    who, wants, weight = contests(problem, solution, np.random.default_rng(0))
    assert set(who.tolist()) == {holder}
    assert set(wants.tolist()) == {wisher}
    assert (weight == 1.0).all()
    priority = torch.zeros(problem.tensor_count, requires_grad=True)
    preference = torch.full(problem.allowed_TH.shape, 0.0)
    imitation_loss(problem, solution, priority, preference, np.random.default_rng(0)).backward()
    assert priority.grad[wisher] > 0 > priority.grad[holder]


def test_a_wish_that_fits_is_no_contest():
    problem = random_problem(25, seed=3)
    decoder = build_case(problem).decoder
    start_T = ActsFirst().place(problem, Budget(), np.random.default_rng(0)).homes_T
    solution = solution_of(decoder, start_T)
    _, wants, _ = contests(problem, solution, np.random.default_rng(0))
    for wisher in np.unique(wants).tolist():
        wished = (solution.regret_TH[wisher] < 0) & ~solution.fits_TH[wisher]
        assert wished.any()


def test_solutions_are_no_worse_than_their_start():
    problem = generated(1)
    case = build_case(problem)
    start = ActsFirst().place(problem, Budget(), np.random.default_rng(0))
    found = solve(problem, case.decoder, start.homes_T, 500, np.random.default_rng(0))
    assert found.latency_s <= start.latency_s * (1 + 1e-12)
