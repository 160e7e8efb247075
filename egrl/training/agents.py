"""The agents that can be trained, and what each of them gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.base import Search

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Measures:
    """Of one generation.

    Attributes:
        tried: placements or maps.
        valid: those of them that fitted as they were.
        best_reward: None where nothing was tried.
        gradient_steps: of the learner.
        losses: of the learner, by name: means over those steps, or what it says of itself.
    """

    tried: int
    valid: int
    best_reward: float | None
    gradient_steps: int
    losses: dict[str, float]


class Run(Protocol):
    """A training under way; everything random comes from the generator that it was built with."""

    def generation(self) -> Measures:
        """Go on until the next moment at which the state can be kept."""

    def arrays(self) -> Mapping[str, Array]:
        """The state, without incumbent and generator."""

    def facts(self) -> Any:  # noqa: ANN401 - a struct of the agent's
        """What of the state is no array: a value that msgspec encodes."""

    def restore(self, arrays: Mapping[str, Array], facts: object) -> None:
        """Take the state of another run of the same agent on the same problem.

        Args:
            arrays: see `arrays`.
            facts: as read from JSON.

        Raises:
            InputError: it is not the state of such a run.
        """

    @property
    def reference_s(self) -> float:
        """Latency of the reference placement on the machine."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One way to learn.

    Attributes:
        config: its hyper-parameters, a frozen dataclass with a field `evaluations`, whose
            constructor checks their ranges.
        presets: hyper-parameters by the name of a schedule; the first is the default.
        build: begins a run.
    """

    config: type[Any]
    presets: Callable[[], dict[str, Any]]
    build: Callable[[PlacementProblem, Any, Search, np.random.Generator], Run]


def _egrl_paper() -> Agent:
    """The agent of the EGRL paper."""
    from egrl.agents.paper.config import FAST, PaperConfig

    def build(
        problem: PlacementProblem, config: PaperConfig, search: Search, rng: np.random.Generator
    ) -> Run:
        # Torch takes seconds to import, and a wrong file should be refused before.
        from egrl.training.paper import PaperRun

        return PaperRun(problem, config, search, rng)

    return Agent(PaperConfig, lambda: {"fast": FAST, "paper": PaperConfig()}, build)


def _egrl() -> Agent:
    """Ours, learning a machine."""
    from egrl.agents.egrl.config import EgrlConfig

    def build(
        problem: PlacementProblem, config: EgrlConfig, search: Search, rng: np.random.Generator
    ) -> Run:
        from egrl.training.egrl import EgrlRun

        return EgrlRun(problem, config, search, rng)

    return Agent(EgrlConfig, lambda: {"default": EgrlConfig()}, build)


AGENTS: dict[str, Callable[[], Agent]] = {
    "egrl-paper": _egrl_paper,
    "egrl": _egrl,
}
