"""Evaluate placements: latency in seconds and bytes over capacity, compiled and in batches."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.walk import evaluate_kernel

OPS_PER_THREAD = 50_000
"""Ops times placements that are worth a thread, some milliseconds of work."""


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


def evaluate_batch(
    problem: PlacementProblem, homes_PT: NDArray[np.int8], threads: int = 1
) -> Evaluation:
    """Evaluate P placements. Several threads may evaluate the same problem at the same time.

    Args:
        problem: the problem.
        homes_PT: int8, an allowed home for every tensor of every placement.
        threads: how many cores to use where the work is worth it; the result is the same.
    """
    population = np.ascontiguousarray(homes_PT, dtype=np.int8)
    count = population.shape[0]
    latency_P = np.empty(count)
    overflow_P = np.empty(count, np.int64)
    arguments = kernel_arguments(problem)
    parts = max(1, min(threads, count, count * problem.op_count // OPS_PER_THREAD))
    bounds = [count * part // parts for part in range(parts + 1)]

    def run(part: int) -> None:
        here = slice(bounds[part], bounds[part + 1])
        evaluate_kernel(population[here], *arguments, latency_P[here], overflow_P[here])

    if parts == 1:
        run(0)
    else:
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(run, range(parts)))
    return Evaluation(latency_P, overflow_P)


def evaluate(problem: PlacementProblem, homes_T: NDArray[np.int8]) -> tuple[float, int]:
    """Latency in seconds and overflow in bytes of one placement."""
    result = evaluate_batch(problem, homes_T[np.newaxis, :])
    return float(result.latency_s_P[0]), int(result.overflow_bytes_P[0])


def kernel_arguments(problem: PlacementProblem) -> tuple[object, ...]:
    """All parameters of the kernel between the placements and the results."""
    a, batch = problem.arrays, problem.arrays.batch
    return (
        a.variant_start_N, a.row_start_N, a.row_tensor_E, a.row_cell_E, a.row_is_read_E,
        a.cost_CK, a.stream_C, a.ring_bytes_C, a.compute_V, a.fill_V, a.latency_H, a.tier_H,
        a.capacity_bytes_L, a.staging_bytes, a.ring_bytes, a.prefetch_ops,
        *(getattr(batch, name) for name in batch.__slots__),
    )  # fmt: skip
