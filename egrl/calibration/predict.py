"""What the engine says of a model on the machine that a calibrated file describes."""

import numpy as np

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import PlacementProblem, build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.timeline import Timeline
from graph_ir.workload import TensorKind, Workload


def cached_homes(problem: PlacementProblem) -> list[int]:
    """Where a hardware-managed cache keeps what an inference touches, as homes.

    Between two uses of a weight passes everything else: where all weights together with what
    lives beside them are larger than the cache, none survives until the next inference. What an
    op has just written is still there when the next one reads it, unless it is larger than that.
    """
    workload = problem.workload
    inner = len(problem.homes) - 1
    capacity = int(problem.accelerator.tiers[-1].capacity_bytes.value)
    all_bytes = workload.weight_bytes + _most_live_bytes(workload)
    homes = []
    for t, tensor in enumerate(workload.tensors):
        kept = tensor.size_bytes <= capacity
        if tensor.kind in (TensorKind.WEIGHT, TensorKind.STATE):
            kept = all_bytes <= capacity
        if kept and problem.allowed_TH[t, inner]:
            homes.append(inner)
        else:
            homes.append(int(np.flatnonzero(problem.allowed_TH[t])[0]))
    return homes


def predict(workload: Workload, accelerator: Accelerator) -> Timeline:
    """Simulate a model on the host.

    Raises:
        InputError: the file has no rate for what the workload computes.
        UnmetRequirementError: it does not fit into memory.
    """
    problem = build_problem(workload, accelerator)
    return simulate(problem, cached_homes(problem))


def _most_live_bytes(workload: Workload) -> int:
    live = [0] * max(1, len(workload.ops))
    for tensor in workload.tensors:
        if tensor.alias_of is None and tensor.kind is not TensorKind.WEIGHT:
            for op in range(tensor.start, tensor.end):
                live[op] += tensor.size_bytes
    return max(live)
