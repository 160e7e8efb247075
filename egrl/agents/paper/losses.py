"""Discrete soft actor-critic over a whole map: the terms of its losses.

Axis letters: B transitions, N ops, S slots, H homes.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from egrl.agents.paper.config import PaperConfig


def entropy(logits_BNSH: Tensor) -> Tensor:
    """Entropy in nats, the mean over ops, the sum over slots: [B]."""
    log_p = torch.log_softmax(logits_BNSH, dim=3)
    return -(log_p.exp() * log_p).sum(dim=3).mean(dim=1).sum(dim=1)


def greedy_action(logits_BNSH: Tensor) -> Tensor:
    """Softmax times one-hot of its maximum: the choice, with a gradient, [B, N, S, H]."""
    chosen = one_hot(logits_BNSH.argmax(dim=3), logits_BNSH.shape[3])
    return torch.softmax(logits_BNSH, dim=3) * chosen


def learned_reward(reward_B: Tensor, config: PaperConfig) -> Tensor:
    """(reward + shift) * scale: what the critic learns from, at least 0 for all rewards."""
    return (reward_B + config.reward_shift) * config.reward_scale


def next_value(q_B2: Tensor, entropy_B: Tensor, config: PaperConfig) -> Tensor:
    """Min Q' + alpha * factor * entropy of the next state, [B]."""
    bonus = config.entropy_weight * config.target_entropy_factor
    return q_B2.min(dim=1).values + bonus * entropy_B


def critic_loss(q_B2: Tensor, target_B: Tensor) -> Tensor:
    """Mean squared error of each twin, summed."""
    return ((q_B2 - target_B[:, None]) ** 2).mean(dim=0).sum()


def actor_loss(q_B2: Tensor, entropy_B: Tensor, config: PaperConfig) -> Tensor:
    """Mean of -min Q - alpha * entropy."""
    return (-q_B2.min(dim=1).values - config.entropy_weight * entropy_B).mean()
