"""Place a problem: the asked-for placer, beside the references that every report names."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.build_report import build_report
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.report import Report
from accelerator_sim.timeline import Timeline
from egrl.placers import PLACERS
from egrl.placers.base import Budget, PlacerResult, Progress, no_progress
from egrl.placers.op_hull import floor_seconds
from graph_ir.errors import InputError, UnmetRequirementError

REFERENCES = ("all-outermost", "native", "acts-first", "greedy")
IDEAL = "ideal"


@dataclass(frozen=True, slots=True)
class Placed:
    """A placement, its simulation and its report.

    Attributes:
        homes_T: int8, a home per tensor.
        timeline: traced simulation.
        report: with references and bound.
        result: of the placer.
    """

    homes_T: NDArray[np.int8]
    timeline: Timeline
    report: Report
    result: PlacerResult


def place(
    problem: PlacementProblem,
    placer: str,
    budget: Budget,
    seed: int,
    progress: Progress = no_progress,
    model: str = "",
) -> Placed:
    """Run the references, then the placer, and report.

    Args:
        problem: workload and accelerator.
        placer: a key of `PLACERS`.
        budget: of the placer.
        seed: of its randomness.
        progress: told of improvements.
        model: how the report names it; the workload's name where empty.

    Raises:
        InputError: no such placer.
        UnmetRequirementError: nothing feasible was found.
    """
    if placer not in PLACERS:
        raise InputError(f"placer {placer}: unknown; expected one of {', '.join(PLACERS)}")
    references: dict[str, float] = {}
    for name in REFERENCES:
        found = _try_reference(problem, PLACERS[name], seed)
        if found is not None:
            references[name] = found.latency_s
    references[IDEAL] = floor_seconds(problem)
    result = PLACERS[placer]().place(problem, budget, np.random.default_rng(seed), progress)
    return report_placement(problem, placer, result, references, model)


def report_placement(
    problem: PlacementProblem,
    placer: str,
    result: PlacerResult,
    references: dict[str, float],
    model: str = "",
) -> Placed:
    """Trace and report the result of a placer."""
    timeline = simulate(problem, result.homes_T.tolist())
    real = [seconds for name, seconds in references.items() if name != IDEAL]
    report = build_report(
        problem,
        result.homes_T.tolist(),
        timeline,
        model=model or problem.workload.name,
        placer=placer,
        references=references,
        lower_bound_s=result.lower_bound_s,
        best_known_s=min([*real, timeline.latency_s]),
    )
    return Placed(result.homes_T, timeline, report, result)


def _try_reference(
    problem: PlacementProblem, make: Callable[[], object], seed: int
) -> PlacerResult | None:
    from egrl.placers.base import Placer

    placer = make()
    assert isinstance(placer, Placer)
    try:
        return placer.place(problem, Budget(evaluations=1), np.random.default_rng(seed))
    except UnmetRequirementError:
        # A reference that finds nothing feasible is left out of the report.
        return None
