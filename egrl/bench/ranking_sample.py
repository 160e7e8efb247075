"""Placements from random to optimal, for judges of how well the engine ranks them.

All fit by live bytes and no two are the same. A quarter is random, with a random share of the
tensors kept in the outermost tier; a quarter are points on the way of simulated annealing from
random starts; the rest are the references, the best that `anneal` finds, and that best with some
tensors moved at random, one of them in some, half of them in others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import Rectifier, build_rectifier
from egrl.placers import PLACERS
from egrl.placers.anneal import Anneal
from egrl.placers.base import Budget
from egrl.placers.random_search import random_homes
from graph_ir.errors import UnmetRequirementError

I8 = NDArray[np.int8]

REFERENCES = ("all-outermost", "native", "acts-first", "greedy")

STATIONS = (20, 60, 200, 600, 2000, 6000, 20000)
"""Engine evaluations after which a placement on annealing's way is taken."""

MOST_TRIES = 40
"""For each placement asked for, before the sample is what it is (tiny models have few)."""


@dataclass(slots=True)
class _Sample:
    """Placements so far, and where each came from."""

    seen: dict[bytes, str]
    homes: list[I8]

    def add(self, homes_T: I8, origin: str) -> None:
        """Unless it is there already."""
        key = homes_T.tobytes()
        if key not in self.seen:
            self.seen[key] = origin
            self.homes.append(homes_T)


def sample_placements(
    problem: PlacementProblem, count: int, rng: np.random.Generator, evaluations: int
) -> tuple[list[I8], list[str]]:
    """Placements and their origins (`random`, `way`, `best`, `near`, or a reference's name).

    Args:
        problem: to be placed.
        count: placements wanted; fewer come back where fewer different ones were met.
        rng: source of all randomness.
        evaluations: of the engine, for the best.

    Raises:
        UnmetRequirementError: nothing fits.
    """
    rectifier = build_rectifier(problem)
    sample = _Sample({}, [])
    for name in REFERENCES:
        try:
            result = PLACERS[name]().place(problem, Budget(), rng)
        except UnmetRequirementError:
            continue  # This one found nothing feasible here; others do.
        sample.add(result.homes_T, name)
    best = PLACERS["anneal"]().place(problem, Budget(evaluations=evaluations), rng).homes_T
    sample.add(best, "best")
    _fill(sample, count // 4, "random", lambda: _random(problem, rectifier, rng))
    quarter = len(sample.homes) + count // 4
    for _ in range(2 * count):
        if len(sample.homes) >= quarter:
            break
        for homes_T in _way(problem, rectifier, rng):
            if len(sample.homes) < quarter:
                sample.add(homes_T, "way")
    _fill(sample, count - len(sample.homes), "near", lambda: _near(problem, rectifier, rng, best))
    return sample.homes, [sample.seen[homes_T.tobytes()] for homes_T in sample.homes]


def _fill(sample: _Sample, wanted: int, origin: str, draw: Callable[[], I8 | None]) -> None:
    goal = len(sample.homes) + wanted
    for _ in range(MOST_TRIES * wanted):
        if len(sample.homes) >= goal:
            return
        homes_T = draw()
        if homes_T is not None:
            sample.add(homes_T, origin)


def _random(problem: PlacementProblem, rectifier: Rectifier, rng: np.random.Generator) -> I8 | None:
    homes_T = random_homes(problem, 1, rng)[0]
    outside_T = rng.random(len(homes_T)) < rng.random()
    homes_T[outside_T] = problem.allowed_TH.argmax(1)[outside_T]
    return _fitting(rectifier, homes_T)


def _way(problem: PlacementProblem, rectifier: Rectifier, rng: np.random.Generator) -> list[I8]:
    """What annealing has found after so many evaluations, from one random start."""
    start_T = _random(problem, rectifier, rng)
    if start_T is None:
        return []
    seed = int(rng.integers(2**31))
    found = []
    for evaluations in STATIONS:
        try:
            result = Anneal(start_T=start_T).place(
                problem, Budget(evaluations=evaluations), np.random.default_rng(seed)
            )
        except UnmetRequirementError:
            return found  # The start has no addresses.
        found.append(result.homes_T)
    return found


def _near(
    problem: PlacementProblem, rectifier: Rectifier, rng: np.random.Generator, best_T: I8
) -> I8 | None:
    free_T = problem.free_tensors
    if not len(free_T):
        return None
    # As often few as many: between one tensor and half of them, evenly over the logarithm.
    moved = int(np.exp(rng.uniform(0.0, np.log(max(2.0, len(free_T) / 2)))))
    chosen_T = rng.choice(free_T, size=max(1, min(moved, len(free_T))), replace=False)
    homes_T = best_T.copy()
    homes_T[chosen_T] = random_homes(problem, 1, rng)[0][chosen_T]
    return _fitting(rectifier, homes_T)


def _fitting(rectifier: Rectifier, homes_T: I8) -> I8 | None:
    batch = rectifier.batch(homes_T[np.newaxis, :])
    return batch.homes_PT[0] if batch.fits_P[0] else None
