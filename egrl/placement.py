"""Place a problem: the asked-for placer, beside the references that every report names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from accelerator_sim.addresses import has_addresses
from accelerator_sim.build_report import build_report
from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.report import Report
from accelerator_sim.timeline import Timeline
from egrl.evaluators.command import Command, CommandEvaluator
from egrl.evaluators.measured import Measured
from egrl.placers import PLACERS
from egrl.placers.base import Budget, PlacerResult, Progress, no_progress
from egrl.placers.configured import configured
from egrl.placers.on_machine import placer_on
from egrl.placers.op_hull import floor_seconds
from egrl.placers.reference import reference_placement
from graph_ir.errors import UnmetRequirementError

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
        measured: what the machine behind the placer said; None without one.
    """

    homes_T: NDArray[np.int8]
    timeline: Timeline
    report: Report
    result: PlacerResult
    measured: Measured | None = None


def place(
    problem: PlacementProblem,
    placer: str,
    budget: Budget,
    seed: int,
    progress: Progress = no_progress,
    model: str = "",
    command: Command | None = None,
    config: object = None,
    start: Mapping[str, int] | None = None,
) -> Placed:
    """Run the references, then the placer, and report.

    The report is the engine's whatever machine the placer searched on.

    Args:
        problem: workload and accelerator.
        placer: a key of `PLACERS`.
        budget: of the placer.
        seed: of its randomness.
        progress: told of improvements.
        model: how the report names it; the workload's name where empty.
        command: the machine to search on; the engine where None.
        config: hyper-parameters of the placer (`egrl.placers.configured`); its own where None.
        start: homes by tensor name of a placement found before; taken where it is faster.

    Raises:
        InputError: no such placer, one that cannot search on a machine, or a machine that cannot
            run the reference placement.
        UnmetRequirementError: nothing feasible was found.
    """
    machine = None if command is None else CommandEvaluator(problem, command)
    searcher = configured(placer_on(placer, machine), config)
    if machine is not None:
        # Before anything slow: a machine that knows nothing of plans is found out at once.
        reference, reference_homes_T = reference_placement(problem)
        reference_s = machine.check(reference_homes_T)
    references = reference_latencies(problem, seed)
    try:
        result = searcher.place(problem, budget, np.random.default_rng(seed), progress)
    except UnmetRequirementError as error:
        if machine is None or not machine.failed:
            raise
        raise UnmetRequirementError(
            str(error),
            (
                *error.details,
                f"{machine.failed} of {machine.measured} placements failed on the machine; "
                f"the last: {machine.last_failure}",
            ),
        ) from error
    if start and machine is None:
        result = no_slower(problem, result, start)
    placed = report_placement(problem, placer, result, references, model)
    if machine is None or command is None:
        return placed
    return measured_again(placed, machine, command.line, reference, reference_s)


def no_slower(
    problem: PlacementProblem, result: PlacerResult, start: Mapping[str, int]
) -> PlacerResult:
    """The result, or the placement of these homes where it fits and is faster."""
    homes_T = result.homes_T.copy()
    for t, tensor in enumerate(problem.workload.tensors):
        home = start.get(tensor.name, -1)
        if home >= 0 and problem.allowed_TH[t, home]:
            homes_T[t] = home
    latency_s, overflow_bytes = evaluate(problem, homes_T)
    fits = overflow_bytes <= 0 and has_addresses(problem, homes_T)
    if not fits or not latency_s < result.latency_s:
        return result
    return replace(result, homes_T=homes_T, latency_s=latency_s)


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


def reference_latencies(problem: PlacementProblem, seed: int = 0) -> dict[str, float]:
    """Latency by the engine of every reference that finds something feasible, and of `ideal`."""
    references: dict[str, float] = {}
    for name in REFERENCES:
        found = _try_reference(problem, PLACERS[name], seed)
        if found is not None:
            references[name] = found.latency_s
    references[IDEAL] = floor_seconds(problem)
    return references


def measured_again(
    placed: Placed, machine: CommandEvaluator, line: str, reference: str, reference_s: float
) -> Placed:
    """Measure the plan once more: of many noisy measurements the best is too good to be true."""
    again_s = float(machine.measure(placed.homes_T[np.newaxis, :])[0])
    latency_s = again_s if again_s > 0 else None
    measured = Measured(
        line,
        latency_s,
        reference,
        reference_s,
        machine.measured,
        machine.failed,
        machine.last_failure,
    )
    report = msgspec.structs.replace(
        placed.report,
        evaluator=line,
        measured_s=latency_s,
        measured_reference=reference,
        measured_reference_s=reference_s,
    )
    return replace(placed, report=report, measured=measured)


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
