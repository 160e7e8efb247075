"""The energy of one inference, part by part; the parts add up to `Timeline.energy_j`."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.cost.dequantize import dequantize_ops, mac_energy_j
from accelerator_sim.cost.traffic import OperandUse, operand_use
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.reference_engine import moved_bytes
from accelerator_sim.timeline import OpTrace, Timeline

TOLERANCE = 1e-6
"""Relative difference above which the page shows energy that no part explains."""


@dataclass(frozen=True, slots=True)
class EnergyPart:
    """Energy of one cause.

    Attributes:
        kind: `mac`, `vector`, `tier`, `leakage` or `other`.
        name: of the tier, or "".
        energy_j: of one inference.
    """

    kind: str
    name: str
    energy_j: float


def energy_parts(
    problem: PlacementProblem, homes: Sequence[int], timeline: Timeline
) -> list[EnergyPart]:
    """Arithmetic, vector unit, tiers from outermost to innermost, leakage.

    Args:
        problem: workload and accelerator.
        homes: home index of every tensor.
        timeline: the traced simulation of these homes.
    """
    accelerator = problem.accelerator
    moved_L: list[list[float]] = [[] for _ in accelerator.tiers]
    for index, trace in enumerate(timeline.ops):
        for use in _uses(problem, homes, index, trace):
            for tier, moved in enumerate(moved_L):
                moved.append(moved_bytes(use, tier, accelerator))
    mac_j, vector_j = _arithmetic(problem)
    parts = [
        EnergyPart("mac", "", mac_j),
        EnergyPart("vector", "", vector_j),
        *(
            EnergyPart("tier", tier.name, fsum(moved) * tier.energy_j_per_byte.value)
            for tier, moved in zip(accelerator.tiers, moved_L, strict=True)
        ),
        EnergyPart("leakage", "", _leakage_j(accelerator, timeline)),
    ]
    other_j = timeline.energy_j - fsum(part.energy_j for part in parts)
    if abs(other_j) > TOLERANCE * abs(timeline.energy_j):
        parts.append(EnergyPart("other", "", other_j))
    return parts


def _leakage_j(accelerator: Accelerator, timeline: Timeline) -> float:
    """What the chip leaks meanwhile is shared by the inferences under way."""
    return accelerator.energy.leakage_w.value * timeline.latency_s / accelerator.groups


def _uses(
    problem: PlacementProblem, homes: Sequence[int], index: int, trace: OpTrace
) -> list[OperandUse]:
    """What the operands of an op move, in the variant that the engine took."""
    op = problem.workload.ops[index]
    variant = next(
        v
        for v in problem.variants_N[index]
        if str(v.split) == trace.split and v.loop_order == trace.loop_order
    )
    return [
        operand_use(
            operand,
            problem.workload.tensors[operand.tensor].kind,
            problem.homes[homes[operand.tensor]],
            variant,
            passes,
            problem.accelerator,
            float(problem.stored_ratio_T[operand.tensor]),
        )
        for operand, passes in zip(op.operands, variant.passes, strict=True)
    ]


def _arithmetic(problem: PlacementProblem) -> tuple[float, float]:
    """Joules of the matrix products on an array, and of the vector unit."""
    energy = problem.accelerator.energy
    mac, vector = [], []
    for op in problem.workload.ops:
        for work in op.mac_work:
            if problem.accelerator.mac_array is None:
                vector.append(2.0 * work.macs * energy.vector_op_j.value)
            else:
                joules = mac_energy_j(problem.accelerator, work.left_type, work.right_type)
                mac.append(work.macs * joules)
        vector_ops = op.vector_ops + dequantize_ops(op, problem.accelerator)
        vector.append(vector_ops * energy.vector_op_j.value)
    return fsum(mac), fsum(vector)
