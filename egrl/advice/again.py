"""Place again with a small budget of evaluations, from a plan that is there already."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import PlacementProblem, build_problem
from egrl.placers.acts_first import ActsFirst
from egrl.placers.base import Budget, PlacerResult
from egrl.placers.guided import Guided
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import Workload

EVALUATIONS = 6_000
"""Of each search: two tenths of a second on a network of 100 ops."""

SEED = 0


@dataclass(frozen=True, slots=True)
class PlacedAgain:
    """A placement of a changed problem.

    Attributes:
        problem: the changed problem.
        homes_T: int8, the best placement found.
        latency_s: of it.
    """

    problem: PlacementProblem
    homes_T: NDArray[np.int8]
    latency_s: float


def place_again(problem: PlacementProblem, starts: list[NDArray[np.int8]]) -> PlacedAgain | None:
    """Search from each of the placements given and from `acts-first`.

    Args:
        problem: to place.
        starts: placements; each is made to fit first.

    Returns:
        The best, or None where nothing fits.
    """
    found: list[PlacerResult] = []
    # The rule may find nothing feasible where the searches do.
    with suppress(UnmetRequirementError):
        found.append(ActsFirst().place(problem, Budget(evaluations=1), np.random.default_rng(SEED)))
    for start_T in [*starts, *(result.homes_T for result in found[:1])]:
        # A start that does not fit on this machine gives nothing.
        with suppress(UnmetRequirementError):
            search, budget = Guided(start_T=start_T), Budget(evaluations=EVALUATIONS)
            found.append(search.place(problem, budget, np.random.default_rng(SEED)))
    if not found:
        return None
    best = min(found, key=lambda result: result.latency_s)
    return PlacedAgain(problem, best.homes_T, best.latency_s)


def rebuilt(
    problem: PlacementProblem,
    *,
    workload: Workload | None = None,
    accelerator: Accelerator | None = None,
) -> PlacementProblem:
    """The problem with another workload or accelerator; pins stay.

    Raises:
        InputError: the target cannot execute the workload.
        UnmetRequirementError: something fits nowhere.
    """
    return build_problem(
        workload or problem.workload, accelerator or problem.accelerator, pins_of(problem)
    )


def pins_of(problem: PlacementProblem) -> dict[str, str]:
    """What pins a problem was built with: tensors that have one home and could have others."""
    free = build_problem(problem.workload, problem.accelerator)
    pinned = (problem.allowed_TH.sum(axis=1) == 1) & (free.allowed_TH.sum(axis=1) > 1)
    return {
        problem.workload.tensors[t].name: problem.home_name(int(problem.allowed_TH[t].argmax()))
        for t in np.flatnonzero(pinned).tolist()
    }
