"""A machine whose real cost differs from the model: the engine with hidden, seeded perturbations.

Every cost is multiplied by log-normal factors exp(spread * z), z standard normal, drawn from the
seed alone, for what a model commonly gets wrong:

- `bandwidth`: of each resource (tiers, interconnect, port, ...) and of the DMA out of each tier;
- `compute`: of each op family (a kernel library's quality);
- `op`: compute and pipeline fill of each op (its shape's luck);
- `tensor`: traffic of each tensor in each of its homes (alignment, bank conflicts);
- `latency`: of each tier.

What fits, what has addresses and how the timeline works stay as they are.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.batch_arrays import build_batch_arrays
from accelerator_sim.engine import evaluate_batch
from accelerator_sim.price_table import build_price_table
from accelerator_sim.problem import PlacementProblem
from graph_ir.workload import OpFamily

F64 = NDArray[np.float64]


class PerturbedEvaluator:
    """The engine on the costs of `perturbed_problem`.

    Attributes:
        name: says which machine this is, for tables.
    """

    def __init__(self, problem: PlacementProblem, seed: int, spread: float) -> None:
        """Draw the machine.

        Args:
            problem: as the searches know it.
            seed: of the machine.
            spread: standard deviation of the logarithm of every factor; 0 is the engine.
        """
        self.name = f"engine perturbed by {spread:g} (seed {seed})"
        self._truth = perturbed_problem(problem, seed, spread)

    def measure(self, homes_PT: NDArray[np.int8]) -> F64:
        """See `Evaluator.measure`; the machine never fails."""
        return evaluate_batch(self._truth, homes_PT).latency_s_P


def perturbed_problem(problem: PlacementProblem, seed: int, spread: float) -> PlacementProblem:
    """The same problem with other costs in its arrays.

    The engine and every search that reads the arrays (`exact` among them) see the perturbed
    machine; what reads the accelerator itself (traces, reports) does not.

    Args:
        problem: what is perturbed.
        seed: of the factors.
        spread: standard deviation of the logarithm of every factor.
    """
    a = problem.arrays
    tiers, home_count = len(problem.accelerator.tiers), len(problem.homes)
    # A stream of its own for each kind: one more kind leaves the others' factors as they are.
    seeds = np.random.SeedSequence(seed).spawn(6)
    bandwidth_K = _factors(seeds[0], a.cost_CK.shape[1], spread)
    stream_L = _factors(seeds[1], tiers, spread)
    compute_F = _factors(seeds[2], len(OpFamily), spread)
    op_N = _factors(seeds[3], problem.op_count, spread)
    tensor_TH = _factors(seeds[4], problem.tensor_count * home_count, spread)
    tensor_TH = tensor_TH.reshape(problem.tensor_count, home_count)
    latency_L = _factors(seeds[5], tiers, spread)

    # Cells of a row are variants times homes, the homes of a variant side by side.
    cell_count_E = np.diff(np.append(a.row_cell_E, len(a.cost_CK)))
    tensor_C = np.repeat(a.row_tensor_E, cell_count_E)
    home_C = np.arange(len(a.cost_CK)) % home_count
    traffic_C = tensor_TH[tensor_C, home_C]
    families = list(OpFamily)
    family_N = np.array([families.index(op.family) for op in problem.workload.ops], np.int64)
    op_V = np.repeat(np.arange(problem.op_count), np.diff(a.variant_start_N))
    pricing = (
        a.variant_start_N, a.row_start_N, a.row_tensor_E, a.row_cell_E, a.row_is_read_E,
        a.cost_CK * bandwidth_K * traffic_C[:, np.newaxis],
        a.stream_C * stream_L[a.tier_H[home_C]] * traffic_C,
        a.ring_bytes_C,
        a.compute_V * (compute_F[family_N] * op_N)[op_V],
        a.fill_V * op_N[op_V],
        a.latency_H * latency_L[a.tier_H],
        a.tier_H,
    )  # fmt: skip
    table = build_price_table(pricing, problem.allowed_TH, tiers)
    batch = build_batch_arrays(
        table, a.row_start_N, a.row_tensor_E, problem.allowed_TH, a.size_bytes_TH, a.tier_H,
        a.start_T, a.end_T, tiers,
    )  # fmt: skip
    arrays = replace(
        a,
        cost_CK=pricing[5],
        stream_C=pricing[6],
        compute_V=pricing[8],
        fill_V=pricing[9],
        latency_H=pricing[10],
        radix_E=table.radix_E,
        first_record_N=table.first_record_N,
        untabled_D=table.untabled_D,
        table_QF=table.table_QF,
        batch=batch,
    )
    return replace(problem, arrays=arrays)


def _factors(seed: np.random.SeedSequence, count: int, spread: float) -> F64:
    factors: F64 = np.exp(spread * np.random.default_rng(seed).standard_normal(count))
    return factors
