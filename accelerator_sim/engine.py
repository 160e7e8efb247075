"""Evaluate placements: latency in seconds and bytes over capacity, compiled and in batches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.kernel import evaluate_kernel
from accelerator_sim.problem import PlacementProblem


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the engine says of a population of P placements.

    Attributes:
        latency_s_P: steady-state latency, also of those that do not fit.
        overflow_bytes_P: most bytes over any tier's capacity at any op; 0 where all fit.
    """

    latency_s_P: NDArray[np.float64]
    overflow_bytes_P: NDArray[np.int64]

    @property
    def feasible_P(self) -> NDArray[np.bool_]:
        """Which of them fit by live bytes."""
        return self.overflow_bytes_P <= 0


def evaluate_batch(problem: PlacementProblem, homes_PT: NDArray[np.int8]) -> Evaluation:
    """Evaluate P placements.

    Args:
        problem: the problem.
        homes_PT: int8, a home for every tensor of every placement.
    """
    population = np.ascontiguousarray(homes_PT, dtype=np.int8)
    latency_P = np.empty(population.shape[0])
    overflow_P = np.empty(population.shape[0], np.int64)
    evaluate_kernel(population, *kernel_arguments(problem), latency_P, overflow_P)
    return Evaluation(latency_P, overflow_P)


def evaluate(problem: PlacementProblem, homes_T: NDArray[np.int8]) -> tuple[float, int]:
    """Latency in seconds and overflow in bytes of one placement."""
    result = evaluate_batch(problem, homes_T[np.newaxis, :])
    return float(result.latency_s_P[0]), int(result.overflow_bytes_P[0])


def kernel_arguments(problem: PlacementProblem) -> tuple[object, ...]:
    """The engine's arrays in the order of the kernel's parameters, without copying them."""
    arrays = problem.arrays
    return tuple(getattr(arrays, name) for name in arrays.__slots__)
