"""What a map is worth: the reward of the EGRL paper (arXiv 2007.07298, algorithm 1).

Axis letters: P maps, N ops, S slots, T tensors.

A map that fits is *valid*: it is measured and earns `speedup^2 - 1`, its speed-up being over
`native`. One that does not is rectified, not measured, and earns `-1 - share`, where share is that
of all bytes which had to change their memory. Docs: `docs/decisions/0020-reward-and-projection.md`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from accelerator_sim.rectify import Rectifier, build_rectifier
from egrl.environment.projection import SLOTS, Projection, build_projection
from egrl.evaluators.base import Evaluator
from egrl.evaluators.engine import EngineEvaluator
from egrl.placers.reference import reference_placement
from graph_ir.errors import InputError

I8 = NDArray[np.int8]
F64 = NDArray[np.float64]

UNMEASURABLE_REWARD = -2.0
"""Of a valid map whose latency is no positive number."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What became of P maps.

    Attributes:
        reward_P: see the head of this file.
        valid_P: whether the map fitted as it was.
        latency_s_P: of the valid ones; NaN elsewhere, where nothing is measured.
        moved_share_P: share of all bytes that rectifying moved; 0 of valid maps.
        homes_PT: the placements, rectified where they had to be.
    """

    reward_P: F64
    valid_P: NDArray[np.bool_]
    latency_s_P: F64
    moved_share_P: F64
    homes_PT: I8


@dataclass(frozen=True, slots=True)
class Judge:
    """Projects, rectifies, measures and rewards the maps of one problem.

    Attributes:
        problem: the problem.
        projection: maps to placements.
        rectifier: of the problem.
        reference_s: latency of `native` by the same evaluator.
        evaluator: measures placements that fit.
    """

    problem: PlacementProblem
    projection: Projection
    rectifier: Rectifier
    reference_s: float
    evaluator: Evaluator

    def judge(self, maps_PNS: I8) -> Verdicts:
        """Judge P maps, int8, a home index per op and slot."""
        asked_PT = self.projection.homes(maps_PNS)
        rectified = self.rectifier.batch(asked_PT)
        valid_P = rectified.fits_P & (rectified.homes_PT == asked_PT).all(axis=1)
        latency_P = np.full(len(maps_PNS), np.nan)
        if valid_P.any():
            latency_P[valid_P] = self.evaluator.measure(asked_PT[valid_P])
        # What cannot be rectified at all is as bad as everything moved.
        share_P = np.where(rectified.fits_P, rectified.moved_share_P, 1.0)
        share_P[valid_P] = 0.0
        return Verdicts(
            rewards(latency_P, valid_P, share_P, self.reference_s),
            valid_P,
            latency_P,
            share_P,
            rectified.homes_PT,
        )

    def empty_map(self) -> I8:
        """Everything in the outermost tier: int8 zeros, [N, S]."""
        return np.zeros((self.problem.op_count, SLOTS), np.int8)


def rewards(
    latency_s_P: F64, valid_P: NDArray[np.bool_], moved_share_P: F64, reference_s: float
) -> F64:
    """`speedup^2 - 1` of valid maps, `-1 - share` of the others, -2 of what has no latency."""
    reward_P = -1.0 - moved_share_P
    measured_P = valid_P & np.isfinite(latency_s_P) & (latency_s_P > 0)
    reward_P[measured_P] = (reference_s / latency_s_P[measured_P]) ** 2 - 1.0
    reward_P[valid_P & ~measured_P] = UNMEASURABLE_REWARD
    return reward_P


def build_judge(problem: PlacementProblem, evaluator: Evaluator | None = None) -> Judge:
    """The judge of a problem, by the engine where no other evaluator is given.

    Where `native` finds nothing that fits, everything outermost is the reference instead.

    Raises:
        InputError: the evaluator gives the reference a latency that is not positive.
    """
    rectifier = build_rectifier(problem)
    _, homes_T = reference_placement(problem)
    machine = EngineEvaluator(problem) if evaluator is None else evaluator
    reference_s = float(machine.measure(homes_T[np.newaxis, :])[0])
    if not (np.isfinite(reference_s) and reference_s > 0):
        raise InputError(
            f"evaluator: gave the reference placement {reference_s} s; expected a positive number"
        )
    return Judge(problem, build_projection(problem, rectifier), rectifier, reference_s, machine)
