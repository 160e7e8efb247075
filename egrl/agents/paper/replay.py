"""What was tried, by whomever: the buffer that population and learner share.

Axis letters: B transitions, N ops, S slots.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
