"""Places the graphs of a decoder: a weight or a state that both have has one home."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import PlacementProblem, build_problem
from egrl.context_report import with_caches
from egrl.decoder_placement import place_decoder, quarter
from egrl.placement import Placed, place
from egrl.placers.base import Budget, Progress
from graph_ir.errors import InputError
from graph_ir.workload import Workload
from runtime.generation.record import DECODE, PREFILL, SELECT


@dataclass(frozen=True, slots=True)
class PlacedStep:
    """A graph of a decoder on its target."""

    problem: PlacementProblem
    placed: Placed


@dataclass(frozen=True, slots=True)
class Search:
    """How placements are searched for; see `egrl.placement.place`."""

    placer: str
    budget: Budget
    seed: int
    progress: Progress
    model: str


def place_steps(
    workloads: Mapping[str, Workload],
    accelerator: Accelerator,
    pins: Mapping[str, str],
    search: Search,
) -> dict[str, PlacedStep]:
    """Place the graphs: those of steps together, as `egrl.decoder_placement` does.

    Args:
        workloads: of all graphs.
        accelerator: the target.
        pins: tensor name to home name.
        search: the budget is that of both steps; a graph that chooses has a quarter of it beside.

    Raises:
        InputError: a pin names nothing.
        UnmetRequirementError: nothing feasible was found.
    """
    _check_pins(workloads, pins)
    problems = {name: _problem(load, accelerator, pins) for name, load in workloads.items()}
    placed = place_decoder(
        problems[DECODE],
        problems[PREFILL],
        search.placer,
        search.budget,
        search.seed,
        search.progress,
        search.model,
    )
    steps = {PREFILL: PlacedStep(problems[PREFILL], placed.prefill)}
    if SELECT in problems:
        # It runs once in a sequence and has no weights or states that a step would share.
        chosen = place(
            problems[SELECT],
            search.placer,
            quarter(search.budget),
            search.seed,
            search.progress,
            f"{search.model} ({SELECT})",
        )
        steps[SELECT] = PlacedStep(problems[SELECT], chosen)
    steps[DECODE] = PlacedStep(problems[DECODE], placed.decode)
    return steps


def reported(step: PlacedStep, graph: ir.Model, context: int) -> PlacedStep:
    """The graph of one token, its report with what there is to say of the caches."""
    placed = step.placed
    report = with_caches(placed.report, graph, step.problem, placed.homes_T, context)
    return replace(step, placed=replace(placed, report=report))


def _problem(
    workload: Workload, accelerator: Accelerator, pins: Mapping[str, str]
) -> PlacementProblem:
    known = {tensor.name for tensor in workload.tensors}
    own = {name: home for name, home in pins.items() if name in known}
    return build_problem(workload, accelerator, own)


def _check_pins(workloads: Mapping[str, Workload], pins: Mapping[str, str]) -> None:
    known = {tensor.name for workload in workloads.values() for tensor in workload.tensors}
    for name in pins:
        if name not in known:
            raise InputError(f"pins: no tensor {name!r} in {' or '.join(workloads)}")
