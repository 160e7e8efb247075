"""Places the graphs of a decoder: a weight or a state that both have has one home."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import PlacementProblem, build_problem
from egrl.placement import Placed, place
from egrl.placers.base import Budget, Progress
from graph_ir.errors import InputError
from graph_ir.workload import TensorKind, Workload
from runtime.generation.record import DECODE, PREFILL

_SHARED = (TensorKind.WEIGHT, TensorKind.STATE)


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
    """Place the graph of one token, which runs for most of the time, then the prompt's around it.

    Args:
        workloads: of both graphs.
        accelerator: the target.
        pins: tensor name to home name.
        search: the budget is that of both.

    Raises:
        InputError: a pin names nothing.
        UnmetRequirementError: nothing feasible was found.
    """
    _check_pins(workloads, pins)
    half = replace(search, budget=_half(search.budget))
    decode = _place(workloads[DECODE], accelerator, dict(pins), half)
    homes = {
        tensor.name: decode.problem.home_name(int(decode.placed.homes_T[at]))
        for at, tensor in enumerate(workloads[DECODE].tensors)
        if tensor.kind in _SHARED
    }
    prefill = _place(workloads[PREFILL], accelerator, {**pins, **homes}, half)
    return {PREFILL: prefill, DECODE: decode}


def _place(
    workload: Workload, accelerator: Accelerator, pins: dict[str, str], search: Search
) -> PlacedStep:
    known = {tensor.name for tensor in workload.tensors}
    own = {name: home for name, home in pins.items() if name in known}
    problem = build_problem(workload, accelerator, own)
    model = f"{search.model} ({workload.name})"
    placed = place(problem, search.placer, search.budget, search.seed, search.progress, model)
    return PlacedStep(problem, placed)


def _half(budget: Budget) -> Budget:
    evaluations = budget.evaluations
    return Budget(
        seconds=None if budget.seconds is None else budget.seconds / 2,
        evaluations=None if evaluations is None else max(1, evaluations // 2),
    )


def _check_pins(workloads: Mapping[str, Workload], pins: Mapping[str, str]) -> None:
    known = {tensor.name for workload in workloads.values() for tensor in workload.tensors}
    for name in pins:
        if name not in known:
            raise InputError(f"pins: no tensor {name!r} in {' or '.join(workloads)}")
