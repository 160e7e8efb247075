"""What was tried, by whomever: the buffer that population and learner share.

Axis letters: B and R transitions, N ops, S slots.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph_ir.errors import InputError

I8 = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Transitions:
    """B steps: the map at the beginning, the map tried (which is the next state), its reward."""

    state_BNS: I8
    action_BNS: I8
    reward_B: NDArray[np.float32]


@dataclass(slots=True)
class ReplayBuffer:
    """The last `capacity` steps, oldest overwritten first."""

    capacity: int
    _steps: list[tuple[I8, I8, float]] = field(default_factory=list)
    _next: int = 0

    def __len__(self) -> int:
        """How many steps it holds."""
        return len(self._steps)

    def add(self, state_NS: I8, action_NS: I8, reward: float) -> None:
        """Keep one step."""
        step = (state_NS, action_NS, reward)
        if len(self._steps) < self.capacity:
            self._steps.append(step)
        else:
            self._steps[self._next] = step
        self._next = (self._next + 1) % self.capacity

    def sample(self, count: int, rng: np.random.Generator) -> Transitions:
        """`count` steps drawn with repetition from a buffer that is not empty."""
        drawn = [self._steps[i] for i in rng.integers(len(self._steps), size=count).tolist()]
        return Transitions(
            np.stack([state for state, _, _ in drawn]),
            np.stack([action for _, action, _ in drawn]),
            np.array([reward for _, _, reward in drawn], np.float32),
        )

    @property
    def next(self) -> int:
        """Where the next step goes once the buffer is full."""
        return self._next

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All steps, for a checkpoint; the maps that they begin with only where one is not 0."""
        if not self._steps:
            return {}
        state_RNS = np.stack([state for state, _, _ in self._steps])
        kept: dict[str, NDArray[Any]] = {
            "replay.action": np.stack([action for _, action, _ in self._steps]),
            "replay.reward": np.array([reward for _, _, reward in self._steps], np.float64),
        }
        return {**kept, "replay.state": state_RNS} if state_RNS.any() else kept

    def load(
        self, arrays: Mapping[str, NDArray[Any]], following: int, empty_NS: I8, homes: int
    ) -> None:
        """Hold the steps of a checkpoint instead.

        Args:
            arrays: see `arrays`.
            following: see `next`.
            empty_NS: the map with which steps begin that keep none.
            homes: H.

        Raises:
            InputError: they cannot be steps of this problem.
        """
        action_RNS = arrays.get("replay.action", np.zeros((0, *empty_NS.shape), np.int8))
        reward_R = arrays.get("replay.reward", np.zeros(0))
        state_RNS = arrays.get("replay.state")
        for name, maps_RNS in (("action", action_RNS), ("state", state_RNS)):
            if maps_RNS is None:
                continue
            if maps_RNS.dtype != np.int8 or maps_RNS.shape != (len(reward_R), *empty_NS.shape):
                raise InputError(f"replay.{name}: expected int8 maps of {empty_NS.shape}")
            if maps_RNS.size and not 0 <= maps_RNS.min() <= maps_RNS.max() < homes:
                raise InputError(f"replay.{name}: expected homes from 0 to {homes - 1}")
        count = len(reward_R)
        if reward_R.dtype != np.float64 or reward_R.ndim != 1 or count > self.capacity:
            raise InputError(f"replay.reward: expected at most {self.capacity} numbers")
        if following != (count if count < self.capacity else following) % self.capacity:
            raise InputError(f"replay: expected {count % self.capacity} as next, got {following}")
        states = [empty_NS] * count if state_RNS is None else list(state_RNS)
        self._steps = list(zip(states, action_RNS, reward_R.tolist(), strict=True))
        self._next = following
