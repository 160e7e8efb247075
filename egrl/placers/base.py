"""What every placer is: a problem, a budget and a seed in, the best placement found out."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.addresses import has_addresses
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from graph_ir.errors import UnmetRequirementError

Progress = Callable[[str, float], None]
"""Called with a line for a person and the best latency in seconds so far."""


def no_progress(_message: str, _best_s: float) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a search may go on: whichever ends first. A search without either is one pass.

    Attributes:
        evaluations: engine evaluations; results are then the same bytes on any machine.
        seconds: wall time.
    """

    evaluations: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PlacerResult:
    """The best placement found.

    Attributes:
        homes_T: int8, a home per tensor; it fits and has addresses.
        latency_s: by the engine.
        evaluations: engine evaluations used.
        seconds: wall time used.
        lower_bound_s: proven by this placer, or None.
        curve: (evaluations, latency in seconds) whenever the best improved.
    """

    homes_T: NDArray[np.int8]
    latency_s: float
    evaluations: int
    seconds: float
    lower_bound_s: float | None = None
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True)
class Search:
    """The state that a search shares with its caller: incumbent, budget, clock.

    A placement becomes the incumbent only when it fits by live bytes and the allocator finds
    addresses for it, so that nothing is ever returned that cannot be executed.
    """

    problem: PlacementProblem
    budget: Budget
    progress: Progress = no_progress
    evaluations: int = 0
    best_s: float = np.inf
    best_homes_T: NDArray[np.int8] | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall time since the search began."""
        return time.monotonic() - self.began

    @property
    def exhausted(self) -> bool:
        """Whether the budget is used up."""
        if self.budget.evaluations is not None and self.evaluations >= self.budget.evaluations:
            return True
        return self.budget.seconds is not None and self.seconds >= self.budget.seconds

    def offer(self, homes_T: NDArray[np.int8], latency_s: float) -> bool:
        """Make this feasible placement the incumbent if it is better and has addresses."""
        if not latency_s < self.best_s:
            return False
        if not has_addresses(self.problem, homes_T.tolist()):
            return False
        self.best_s = latency_s
        self.best_homes_T = homes_T.copy()
        self.curve.append((self.evaluations, latency_s))
        self.progress("improved", latency_s)
        return True

    def try_placement(self, homes_T: NDArray[np.int8]) -> float:
        """Evaluate one placement and offer it if it fits; infinity where it does not."""
        latency_s, overflow = evaluate(self.problem, homes_T)
        self.evaluations += 1
        if overflow > 0:
            return float(np.inf)
        self.offer(homes_T, latency_s)
        return latency_s

    def result(self, lower_bound_s: float | None = None) -> PlacerResult:
        """The incumbent as a result.

        Raises:
            UnmetRequirementError: nothing feasible was found.
        """
        if self.best_homes_T is None:
            raise UnmetRequirementError("placement: no feasible placement was found")
        return PlacerResult(
            self.best_homes_T,
            self.best_s,
            self.evaluations,
            self.seconds,
            lower_bound_s,
            tuple(self.curve),
        )


class Placer(ABC):
    """A way to place. Subclasses are frozen dataclasses whose fields are their parameters."""

    @abstractmethod
    def place(
        self,
        problem: PlacementProblem,
        budget: Budget,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> PlacerResult:
        """Find a placement.

        Args:
            problem: workload and accelerator.
            budget: when to stop; constructive placers use one evaluation whatever it says.
            rng: source of all randomness.
            progress: told of improvements.

        Raises:
            UnmetRequirementError: nothing feasible was found.
        """
