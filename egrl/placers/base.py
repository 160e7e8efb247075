"""What every placer is: a problem, a budget and a seed in, the best placement found out."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.addresses import has_addresses
from accelerator_sim.engine import evaluate_batch
from accelerator_sim.problem import PlacementProblem
from egrl.evaluators.base import Evaluator
from graph_ir.errors import UnmetRequirementError

Progress = Callable[[str, float], None]
"""Called with a line for a person and the best latency in seconds so far."""


ASKED_AT_ONCE = 16
"""Placements that a machine is given between two looks at the clock."""


def no_progress(_message: str, _best_s: float) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a search may go on: whichever ends first. A search without either is one pass.

    Attributes:
        evaluations: of placements; results are then the same bytes on any machine.
        seconds: wall time.
    """

    evaluations: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PlacerResult:
    """The best placement found.

    Attributes:
        homes_T: int8, a home per tensor; it fits and has addresses.
        latency_s: by the engine, or by the evaluator that the placer was given.
        evaluations: placements evaluated.
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

    Attributes:
        problem: what is placed.
        budget: when to stop.
        progress: told of improvements.
        evaluator: the machine whose latency counts; the engine where None. What fits is always
            the engine's and the allocator's to say.
        evaluations: placements evaluated so far.
        best_s: latency of the incumbent.
        best_homes_T: the incumbent, or None.
        curve: (evaluations, latency in seconds) whenever the best improved.
        began: monotonic clock, in seconds.
    """

    problem: PlacementProblem
    budget: Budget
    progress: Progress = no_progress
    evaluator: Evaluator | None = None
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
        if not has_addresses(self.problem, homes_T):
            return False
        self.best_s = latency_s
        self.best_homes_T = homes_T.copy()
        self.curve.append((self.evaluations, latency_s))
        self.progress("improved", latency_s)
        return True

    def try_placement(self, homes_T: NDArray[np.int8]) -> float:
        """Evaluate one placement and offer it if it fits; infinity where it does not."""
        latency_s = float(self.measure(homes_T[np.newaxis, :])[0])
        self.offer(homes_T, latency_s)
        return latency_s

    def measure(
        self, homes_PT: NDArray[np.int8], fits_P: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Evaluate P placements, each of which counts.

        Args:
            homes_PT: int8, an allowed home for every tensor of every placement.
            fits_P: False for those that the caller knows not to fit.

        Returns:
            float64, seconds; infinity where a placement does not fit by live bytes, or where the
            evaluator failed to measure it.
        """
        found = evaluate_batch(self.problem, homes_PT)
        self.evaluations += len(homes_PT)
        counts_P = found.feasible_P if fits_P is None else found.feasible_P & fits_P
        if self.evaluator is None:
            return np.where(counts_P, found.latency_s_P, np.inf)
        latency_P = np.full(len(homes_PT), np.inf)
        if counts_P.any():
            measured_P = self._ask(self.evaluator, homes_PT[counts_P])
            latency_P[counts_P] = np.where(measured_P > 0, measured_P, np.inf)
        return latency_P

    def _ask(self, evaluator: Evaluator, homes_PT: NDArray[np.int8]) -> NDArray[np.float64]:
        """What the machine says; NaN for those that the time left nothing for."""
        if self.budget.seconds is None:
            return evaluator.measure(homes_PT)
        # A machine may be slow: the clock is looked at more often than once a generation.
        measured_P = np.full(len(homes_PT), np.nan)
        for first in range(0, len(homes_PT), ASKED_AT_ONCE):
            if first and self.exhausted:
                self.evaluations -= len(homes_PT) - first
                break
            part = slice(first, first + ASKED_AT_ONCE)
            measured_P[part] = evaluator.measure(homes_PT[part])
        return measured_P

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
