"""Placements from random to optimal, each with addresses, for judging how they are ranked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.engine import evaluate, evaluate_batch
from accelerator_sim.plan import Plan
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import build_rectifier
from accelerator_sim.reference_engine import simulate
from egrl.placers import PLACERS
from egrl.placers.base import Budget
from egrl.placers.random_search import random_homes
from graph_ir.errors import UnmetRequirementError

REFERENCES = ("all-outermost", "native", "acts-first", "greedy")

SHARES = (0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.35, 0.6, 1.0)
"""Of the tensors of the best placement, how many are moved at random."""

POOL_FACTOR = 30
"""Placements drawn for each that is chosen."""


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

    The references, the best that `auto` finds, and between the best and the slowest those of a
    pool that are spread most evenly over the logarithm of the engine's latency: random placements,
    and the best one with more and more of its tensors moved.

    Args:
        problem: with more than one home for some tensors.
        count: of placements.
        budget: of `auto`.
        rng: source of all randomness.
    """
    found: dict[bytes, Candidate] = {}
    for name in REFERENCES:
        try:
            result = PLACERS[name]().place(problem, Budget(evaluations=1), rng)
        except UnmetRequirementError:
            continue  # A reference that finds nothing feasible is no placement.
        _add(problem, found, name, result.homes_T)
    best = PLACERS["auto"]().place(problem, budget, rng)
    _add(problem, found, "auto", best.homes_T)
    pool = _pool(problem, best.homes_T, POOL_FACTOR * count, rng)
    latency_s = evaluate_batch(problem, np.array([homes_T for _, homes_T in pool])).latency_s_P
    slowest_s = max(float(latency_s.max()), *(c.latency_s for c in found.values()))
    unused = list(range(len(pool)))
    for target_s in np.geomspace(best.latency_s, slowest_s, count):
        unused.sort(key=lambda at: (abs(np.log(latency_s[at] / target_s)), at))
        # The nearest may lack addresses, or be one that is there already.
        while unused and not _add(problem, found, *pool[unused.pop(0)]):
            continue
    return list(found.values())


def _pool(
    problem: PlacementProblem,
    best_T: NDArray[np.int8],
    count: int,
    rng: np.random.Generator,
) -> list[tuple[str, NDArray[np.int8]]]:
    """Origin and homes of feasible placements: all random, or a share of the best one's moved."""
    free = problem.free_tensors
    homes_PT = random_homes(problem, count, rng)
    origins = []
    for number in range(count):
        share = SHARES[number % len(SHARES)]
        origins.append("random" if share == 1.0 else f"auto, {share:.0%} moved")
        kept = rng.permutation(free)[max(1, round(share * len(free))) :]
        homes_PT[number, kept] = best_T[kept]
    batch = build_rectifier(problem).batch(homes_PT)
    return [(origins[at], batch.homes_PT[at]) for at in np.flatnonzero(batch.fits_P).tolist()]


def _add(
    problem: PlacementProblem,
    found: dict[bytes, Candidate],
    origin: str,
    homes_T: NDArray[np.int8],
) -> bool:
    """Make a plan of a placement; False where it is not new or has no addresses."""
    key = homes_T.tobytes()
    if key in found:
        return False
    homes = homes_T.tolist()
    try:
        plan = build_plan(problem, homes, simulate(problem, homes))
    except UnmetRequirementError:
        return False  # It fits by live bytes, but the allocator finds no addresses.
    found[key] = Candidate(origin, homes_T, evaluate(problem, homes_T)[0], plan)
    return True
