"""Soft actor-critic against a two-op example computed by hand, and the buffer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from egrl.agents.paper import losses
from egrl.agents.paper.config import FAST, PaperConfig
from egrl.agents.paper.learner import Learner, State
from egrl.agents.paper.replay import ReplayBuffer, Transitions
from egrl.agents.paper.topology import build_topology
from graph_ir.errors import EgrlError

SMALL = replace(PaperConfig(), hidden=8, depth=1, heads=2, batch=3)
HALF = float(np.log(2.0))


class FixedPolicy(nn.Module):
    """Logits 0, ln 2, ln 5 for the weights, and ln 3, 0, 0 for the outputs, of both ops."""

    def __init__(self):
        super().__init__()
        self.logits_SH = nn.Parameter(
            torch.tensor([[0.0, np.log(2.0), np.log(5.0)], [np.log(3.0), 0.0, 0.0]]).float()
        )

    def forward(self, nodes_BNF, topology):
        return self.logits_SH.expand(len(nodes_BNF), 2, 2, 3)


class FixedCritic(nn.Module):
    """Twins: scale * (mean over ops and slots of the action's share in home 2, and in home 0)."""

    def __init__(self, scale):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def forward(self, nodes_BNF, action_BNSH, topology):
        shares_BH = action_BNSH.mean(dim=(1, 2))
        return self.scale * shares_BH[:, [2, 0]]


@pytest.fixture
def state():
    return State(torch.zeros(2, 19), build_topology(np.array([[0], [1]]), 2), 3)


@pytest.fixture
def transitions():
    state_BNS = np.zeros((2, 2, 2), np.int8)
    action_BNS = np.array([[[2, 2], [2, 2]], [[0, 2], [1, 0]]], np.int8)
    return Transitions(state_BNS, action_BNS, np.array([0.5, -1.25], np.float32))


def by_hand(learner, config):
    learner.actor, learner.critic, learner.target = FixedPolicy(), FixedCritic(4), FixedCritic(8)
    learner.actor_optimizer = torch.optim.SGD(learner.actor.parameters(), 1.0)
    learner.critic_optimizer = torch.optim.SGD(learner.critic.parameters(), 0.0)
    learner.config = config
    return learner


# Entropy of (1, 2, 5) / 8 and of (3, 1, 1) / 5; both ops are alike, slots are summed.
ENTROPY = -sum(p * np.log(p) for p in (1 / 8, 2 / 8, 5 / 8, 3 / 5, 1 / 5, 1 / 5))


def test_targets_of_the_paper(state, transitions):
    learner = by_hand(Learner(state, SMALL, 0), SMALL)
    # The softmax puts (5/8 + 1/5) / 2 in home 2 and (1/8 + 3/5) / 2 in home 0; the twins' smaller
    # is the latter, times 8.
    value = 8 * (1 / 8 + 3 / 5) / 2 + 0.05 * 0.2 * ENTROPY
    expected = [(0.5 + 2) * 5 + 0.99 * value, (-1.25 + 2) * 5 + 0.99 * value]
    assert learner.targets(transitions).tolist() == pytest.approx(expected, rel=1e-6)


def test_targets_of_the_fast_schedule_are_rewards(state, transitions):
    learner = by_hand(Learner(state, SMALL, 0), FAST)
    assert learner.targets(transitions).tolist() == [12.5, 3.75]


@pytest.mark.parametrize("schedule", ["paper", "fast"])
def test_both_losses_by_hand(state, transitions, schedule):
    config = replace(SMALL, schedule=schedule, action_noise=0.0)
    learner = by_hand(Learner(state, config, 0), config)
    target = learner.targets(transitions).tolist()
    critic_loss, actor_loss = learner.update(transitions, np.random.default_rng(0))
    # Twins: 4 * share in home 2, 4 * share in home 0.
    first, second = [4 * 1.0, 4 * 1 / 4], [0.0, 4 * 2 / 4]
    expected = sum(
        sum((q - y) ** 2 for q, y in zip(twin, target, strict=True)) / 2 for twin in (first, second)
    )
    assert critic_loss == pytest.approx(expected, rel=1e-6)
    # The maxima: 5/8 in home 2 for the weights, 3/5 in home 0 for the outputs; the smaller twin.
    assert actor_loss == pytest.approx(-4 * (3 / 5) / 2 - 0.05 * ENTROPY, rel=1e-6)


def test_the_actor_moves_towards_what_the_critic_likes(state, transitions):
    config = replace(SMALL, entropy_weight=0.0)
    learner = by_hand(Learner(state, config, 0), config)
    before = learner.actor.logits_SH.detach().clone()
    scale = float(learner.critic.scale.detach())
    learner.update(transitions, np.random.default_rng(0))
    change = learner.actor.logits_SH.detach() - before
    # Only the outputs' choice of home 0 is in the smaller twin: d(4/2 p)/d(logit) = 2 p (1 - p).
    assert change[1].tolist() == pytest.approx([0.48, -2 * 0.6 * 0.2, -2 * 0.6 * 0.2], rel=1e-5)
    assert not change[0].any()
    assert float(learner.critic.scale.detach()) == scale


def test_the_target_follows_slowly_and_the_critic_learns(state, transitions):
    learner = Learner(state, SMALL, 0)
    before = [p.clone() for p in learner.target.parameters()]
    started = [p.detach().clone() for p in learner.critic.parameters()]
    learner.update(transitions, np.random.default_rng(0))
    assert any(
        not torch.equal(a, b) for a, b in zip(started, learner.critic.parameters(), strict=True)
    )
    for old, now, new in zip(
        before, learner.target.parameters(), learner.critic.parameters(), strict=True
    ):
        torch.testing.assert_close(now, old + 1e-3 * (new - old))


def test_gradients_are_clipped_after_they_exist(state, transitions):
    config = replace(SMALL, gradient_norm=1e-3, action_noise=0.0)
    learner = by_hand(Learner(state, config, 0), config)
    before = learner.actor.logits_SH.detach().clone()
    learner.update(transitions, np.random.default_rng(0))
    assert float((learner.actor.logits_SH.detach() - before).norm()) == pytest.approx(
        1e-3, rel=0.01
    )


def test_the_critic_fits_rewards(state, transitions):
    config = replace(SMALL, schedule="fast", critic_rate=0.01, action_noise=0.0)
    learner = Learner(state, config, 0)
    rng = np.random.default_rng(0)
    found = [learner.update(transitions, rng)[0] for _ in range(40)]
    assert found[-1] < 0.5 * found[0]


def test_a_loss_that_is_no_number_is_an_error(state, transitions):
    learner = Learner(state, SMALL, 0)
    broken = replace(transitions, reward_B=np.array([np.nan, 0.0], np.float32))
    with pytest.raises(EgrlError, match="loss of the Critic is nan"):
        learner.update(broken, np.random.default_rng(0))


def test_noise_stays_between_zero_and_one(state):
    learner = Learner(state, SMALL, 0)
    noisy = learner.noisy(np.ones((40, 2, 2), np.int8), np.random.default_rng(0))
    assert noisy.min() == 0.0
    assert noisy.max() == 1.0
    assert 0.1 < noisy[..., 0].std() < 0.2
    assert noisy[..., 1].mean() > 0.85


def test_entropy_and_greedy_action():
    uniform = torch.zeros(1, 2, 2, 3)
    assert losses.entropy(uniform).tolist() == pytest.approx([2 * np.log(3)])
    logits = torch.tensor([0.0, HALF, 0.0]).expand(1, 2, 2, 3)
    assert losses.greedy_action(logits)[0, 0, 0].tolist() == pytest.approx([0.0, 0.5, 0.0])


def test_the_states_seen_are_features_and_maps(state):
    nodes = state.nodes(np.array([[[0, 1], [2, 2]]], np.int8))
    assert nodes.shape == (1, 2, 21)
    assert nodes[0, :, 19:].tolist() == [[0.0, 0.5], [1.0, 1.0]]


def test_the_buffer_forgets_the_oldest():
    buffer = ReplayBuffer(3)
    for i in range(5):
        buffer.add(np.zeros((1, 2), np.int8), np.full((1, 2), i, np.int8), float(i))
    assert len(buffer) == 3
    found = buffer.sample(200, np.random.default_rng(0))
    assert sorted(set(found.reward_B.tolist())) == [2.0, 3.0, 4.0]
    assert (found.action_BNS[:, 0, 0] == found.reward_B).all()
