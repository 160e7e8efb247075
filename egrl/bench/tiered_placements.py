"""Placements from random to optimal, each with addresses, for judging how they are ranked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate
from accelerator_sim.plan import Plan
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import Rectifier, build_rectifier
from accelerator_sim.reference_engine import simulate
from egrl.placers import PLACERS
from egrl.placers.base import Budget
from egrl.placers.random_search import random_homes
from graph_ir.errors import UnmetRequirementError

REFERENCES = ("all-outermost", "native", "acts-first", "greedy")

SHARES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 0.7)
"""Of the tensors of the best placement, how many are moved at random."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A placement to be judged.

    Attributes:
        origin: how it was made.
        homes_T: int8.
        latency_s: the engine's.
        plan: with addresses.
    """

    origin: str
    homes_T: NDArray[np.int8]
    latency_s: float
    plan: Plan


def candidates(
    problem: PlacementProblem, count: int, budget: Budget, rng: np.random.Generator
) -> list[Candidate]:
    """At least `count` different placements where the problem has as many.

    The references, the best that `auto` finds, random placements, and the best one with more and
    more of its tensors moved: so all of the range from random to optimal is there.

    Args:
        problem: with more than one home for some tensors.
        count: of placements.
        budget: of `auto`.
        rng: source of all randomness.
    """
    rectifier = build_rectifier(problem)
    found: dict[bytes, Candidate] = {}
    for name in REFERENCES:
        try:
            result = PLACERS[name]().place(problem, Budget(evaluations=1), rng)
        except UnmetRequirementError:
            continue  # A reference that finds nothing feasible is no placement.
        _add(problem, found, name, result.homes_T)
    best = PLACERS["auto"]().place(problem, budget, rng)
    _add(problem, found, "auto", best.homes_T)
    attempts = 0
    while len(found) < count and attempts < 20 * count:
        attempts += 1
        if attempts % 4 == 0:
            homes_T = _random(problem, rectifier, rng)
            origin = "random"
        else:
            share = SHARES[attempts % len(SHARES)]
            homes_T = _moved(problem, rectifier, best.homes_T, share, rng)
            origin = f"auto, {share:.0%} moved"
        if homes_T is not None:
            _add(problem, found, origin, homes_T)
    return list(found.values())


def _add(
    problem: PlacementProblem,
    found: dict[bytes, Candidate],
    origin: str,
    homes_T: NDArray[np.int8],
) -> None:
    key = homes_T.tobytes()
    if key in found:
        return
    homes = homes_T.tolist()
    try:
        plan = build_plan(problem, homes, simulate(problem, homes))
    except UnmetRequirementError:
        return  # It fits by live bytes, but the allocator finds no addresses: not a plan.
    found[key] = Candidate(origin, homes_T, evaluate(problem, homes_T)[0], plan)


def _random(
    problem: PlacementProblem, rectifier: Rectifier, rng: np.random.Generator
) -> NDArray[np.int8] | None:
    return _fitted(rectifier, random_homes(problem, 1, rng)[0])


def _moved(
    problem: PlacementProblem,
    rectifier: Rectifier,
    best_T: NDArray[np.int8],
    share: float,
    rng: np.random.Generator,
) -> NDArray[np.int8] | None:
    free = problem.free_tensors
    count = max(1, round(share * len(free)))
    chosen = rng.choice(free, size=count, replace=False)
    homes_T = best_T.copy()
    homes_T[chosen] = random_homes(problem, 1, rng)[0][chosen]
    return _fitted(rectifier, homes_T)


def _fitted(rectifier: Rectifier, homes_T: NDArray[np.int8]) -> NDArray[np.int8] | None:
    batch = rectifier.batch(homes_T[np.newaxis, :])
    return batch.homes_PT[0] if bool(batch.fits_P[0]) else None
