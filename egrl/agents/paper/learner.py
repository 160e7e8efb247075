"""The soft actor-critic learner.

Axis letters: B transitions, N ops, F features, S slots, H homes.
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.nn.utils import clip_grad_norm_

from egrl.agents.diverged import DivergedError
from egrl.agents.paper import losses
from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.critic import Critic
from egrl.agents.paper.policy import Policy
from egrl.agents.paper.replay import I8, Transitions
from egrl.agents.paper.topology import Topology


@dataclass(frozen=True, slots=True)
class State:
    """What does not change while one problem is learned.

    Attributes:
        features_NF: float32, the 19 features.
        topology: of the graph.
        homes: H.
    """

    features_NF: Tensor
    topology: Topology
    homes: int

    def nodes(self, maps_BNS: I8) -> Tensor:
        """Features beside maps: float32, [B, N, F + S]."""
        maps = torch.from_numpy(maps_BNS.astype(np.float32) / max(1, self.homes - 1))
        features = self.features_NF.expand(len(maps), *self.features_NF.shape)
        return torch.cat([features, maps], dim=2)

    @property
    def feature_count(self) -> int:
        """F + S."""
        return self.features_NF.shape[1] + 2


class Learner:
    """Actor, critic and target critic with their optimisers."""

    def __init__(self, state: State, config: PaperConfig, seed: int) -> None:
        """Draw the networks.

        Args:
            state: of the problem.
            config: hyper-parameters.
            seed: of the weights.
        """
        self.state, self.config = state, config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.actor = Policy(state.feature_count, state.homes, config)
            self.critic = Critic(state.feature_count, state.homes, config)
        self.target = deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = _adam(self.actor, config.actor_rate)
        self.critic_optimizer = _adam(self.critic, config.critic_rate)

    def update(self, batch: Transitions, rng: np.random.Generator) -> tuple[float, float]:
        """One gradient step of the critic, then one of the actor.

        Args:
            batch: transitions.
            rng: of the noise on their actions.

        Returns:
            The losses of critic and actor.

        Raises:
            DivergedError: a loss or a gradient is not finite.
        """
        config, topology = self.config, self.state.topology
        looks_on = config.schedule == "paper"
        state_BNF = self.state.nodes(batch.state_BNS)
        target_B = self.targets(batch)
        q_B2 = self.critic(state_BNF, self.noisy(batch.action_BNS, rng), topology)
        critic_loss = losses.critic_loss(q_B2, target_B)
        self._step(critic_loss, self.critic, self.critic_optimizer)
        # All states are the same where every step begins with the empty map: one pass will do.
        actor_BNF = state_BNF if looks_on else state_BNF[:1]
        logits = self.actor(actor_BNF, topology)
        self.critic.requires_grad_(False)
        q_B2 = self.critic(actor_BNF, losses.greedy_action(logits), topology)
        actor_loss = losses.actor_loss(q_B2, losses.entropy(logits), config)
        self._step(actor_loss, self.actor, self.actor_optimizer)
        self.critic.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.target.parameters()), list(self.critic.parameters()), config.target_rate
            )
        return float(critic_loss.detach()), float(actor_loss.detach())

    @torch.no_grad()
    def targets(self, batch: Transitions) -> Tensor:
        """What the critic should say of each transition: float32, [B]."""
        config, topology = self.config, self.state.topology
        reward_B = losses.learned_reward(torch.from_numpy(batch.reward_B), config)
        if config.schedule == "fast":
            return reward_B
        next_BNF = self.state.nodes(batch.action_BNS)
        logits = self.actor(next_BNF, topology)
        q_B2 = self.target(next_BNF, torch.softmax(logits, dim=3), topology)
        value_B = losses.next_value(q_B2, losses.entropy(logits), config)
        return reward_B + config.discount * value_B

    def noisy(self, action_BNS: I8, rng: np.random.Generator) -> Tensor:
        """One-hot actions with noise, between 0 and 1: float32, [B, N, S, H]."""
        hot = one_hot(torch.from_numpy(action_BNS.astype(np.int64)), self.state.homes).float()
        noise = rng.normal(0.0, self.config.action_noise, tuple(hot.shape)).astype(np.float32)
        return (hot + torch.from_numpy(noise)).clamp(0.0, 1.0)

    def _step(
        self, loss: Tensor, network: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        name = type(network).__name__
        if not torch.isfinite(loss):
            raise DivergedError(f"learner: the loss of the {name} is {float(loss.detach())}")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_grad_norm_(network.parameters(), self.config.gradient_norm)
        if not torch.isfinite(norm):
            raise DivergedError(f"learner: the gradient of the {name} is {float(norm)}")
        optimizer.step()


def _adam(network: torch.nn.Module, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), rate, fused=True)
