"""The rule that the policy corrects: the best home of every tensor, the densest first.

A tensor prefers the homes in which its ops take least time (`accelerator_sim.value`), and goes in
by the seconds that its innermost home saves per byte and op of its life. A policy that answers
zero everywhere decodes to exactly this.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.decoder import Decoder
from egrl.placers.greedy import density_order

F64 = NDArray[np.float64]

PREFERENCE_SCALE = 2.0
PREFERENCE_RESOLUTION = 2000.0
"""A home that costs 1 / 2000 of the ideal latency more is less preferred by `2 ln 2`."""
TIE = 1e-6


@dataclass(frozen=True, slots=True)
class Prior:
    """Keys of the rule.

    Attributes:
        priority_T: from 1 (placed first) down to 0.
        preference_TH: 0 for the best home of a tensor, less for the others; minus infinity where
            it may not live.
    """

    priority_T: F64
    preference_TH: F64


def build_prior(problem: PlacementProblem, decoder: Decoder, ideal_s: float) -> Prior:
    """The keys of the rule for one problem.

    Args:
        problem: the problem.
        decoder: of the problem.
        ideal_s: latency without limits, which makes seconds comparable between problems.
    """
    seconds_TH = decoder.values.seconds_TH
    order = density_order(problem, decoder)
    priority_T = np.ones(len(seconds_TH))
    priority_T[order] = np.linspace(1.0, 0.0, len(order))
    lost_TH = seconds_TH - seconds_TH.min(axis=1, keepdims=True)
    # Among homes that are equally fast the one that takes fewest bytes, then the innermost.
    size_TH = problem.arrays.size_bytes_TH
    size_TH = size_TH / np.maximum(1, size_TH.max(axis=1, keepdims=True))
    depth_H = problem.arrays.tier_H / len(problem.arrays.capacity_bytes_L)
    with np.errstate(invalid="ignore"):
        slower_TH = np.log1p(PREFERENCE_RESOLUTION * lost_TH / ideal_s)
    preference_TH: F64 = -PREFERENCE_SCALE * slower_TH - TIE * (size_TH - 0.1 * depth_H)
    preference_TH[~problem.allowed_TH] = -np.inf
    return Prior(priority_T, preference_TH)
