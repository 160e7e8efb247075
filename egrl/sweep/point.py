"""One point of a sweep: a workload placed on a machine. Needs nothing that reads models."""

from dataclasses import dataclass

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import build_problem
from egrl.budget import parse_budget
from egrl.placement import IDEAL, place
from egrl.sweep.result import PointResult
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import Workload


@dataclass(frozen=True, slots=True)
class PlaceTask:
    """Place a workload on an accelerator."""

    workload: Workload
    accelerator: Accelerator
    placer: str
    budget: str
    seed: int


def place_point(task: PlaceTask) -> PointResult:
    """Do it; where nothing fits, the result says why.

    Raises:
        InputError: the accelerator cannot execute the workload.
    """
    try:
        problem = build_problem(task.workload, task.accelerator)
        report = place(problem, task.placer, parse_budget(task.budget), task.seed).report
    except UnmetRequirementError as error:
        return PointResult(None, None, None, None, None, "", None, None, None, str(error))
    return PointResult(
        latency_s=report.latency_s,
        cold_latency_s=report.cold_latency_s,
        lower_bound_s=report.lower_bound_s,
        gap=report.gap,
        native_s=report.references.get("native"),
        best_reference=report.best_reference,
        best_reference_s=report.references.get(report.best_reference),
        ideal_s=report.references.get(IDEAL),
        energy_j=report.energy_j,
        failure="",
    )
