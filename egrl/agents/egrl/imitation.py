"""The loss that pulls a policy towards a good solution, weighted by what deviating costs.

A home that the solution does not use is pushed below the one that it uses by as much as moving
there would lose; homes that tie are left alone. Where a tensor would rather be in a tier than where
the solution has it, those that hold the tier while it lives must have a higher priority.

Axis letters: T tensors, H homes, W pairs of a tensor that holds a tier and one that would like to.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from accelerator_sim.problem import PlacementProblem
from egrl.agents.egrl.policy import PREFERENCE_NOISE, PRIORITY_NOISE
from egrl.agents.egrl.solution import Solution

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FULL_WEIGHT = 0.01
"""Share of the latency lost from which on a deviation weighs as much as it can."""

MARGIN = 2.0
"""Distance, in units of the exploration noise, from which on a wrong choice is out of reach."""

MOST_PAIRS = 2048


def imitation_loss(
    problem: PlacementProblem,
    solution: Solution,
    priority_T: Tensor,
    preference_TH: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    """How far keys are from decoding to the solution.

    Args:
        problem: the problem.
        solution: of it.
        priority_T: keys, with gradient.
        preference_TH: keys, with gradient; finite everywhere.
        rng: picks pairs where there are many.
    """
    homes_T = solution.homes_T.astype(np.int64)
    with np.errstate(invalid="ignore"):
        weight_TH = np.minimum(1.0, solution.regret_TH / solution.latency_s / FULL_WEIGHT)
    weight_TH = np.where(problem.allowed_TH, np.maximum(0.0, weight_TH), 0.0)
    used_T1 = preference_TH.gather(1, torch.from_numpy(homes_T)[:, None])
    ahead_TH = (preference_TH - used_T1) / PREFERENCE_NOISE + MARGIN
    scale = max(1.0, float(problem.allowed_TH.any(axis=1).sum())) ** 0.5
    loss: Tensor = (
        torch.from_numpy(weight_TH.astype(np.float32)) * softplus(ahead_TH)
    ).sum() / scale
    holder_W, wisher_W, weight_W = contests(problem, solution, rng)
    if len(holder_W):
        ahead_W = (priority_T[wisher_W] - priority_T[holder_W]) / PRIORITY_NOISE + MARGIN
        share = scale / len(holder_W)
        loss = loss + share * (torch.from_numpy(weight_W) * softplus(ahead_W)).sum()
    return loss


def contests(
    problem: PlacementProblem, solution: Solution, rng: np.random.Generator
) -> tuple[I64, I64, NDArray[np.float32]]:
    """Pairs of tensors of which one holds what the other would like, and how much it matters.

    Returns:
        The holders, the wishers, and weights between 0 and 1.
    """
    arrays = problem.arrays
    tier_T = arrays.tier_H[solution.homes_T]
    with np.errstate(invalid="ignore"):
        gain_TH = np.where(problem.allowed_TH & ~solution.fits_TH, -solution.regret_TH, 0.0)
    holders, wishers, weights = [], [], []
    free_T = problem.allowed_TH.sum(axis=1) > 1
    for tier in range(1, len(arrays.capacity_bytes_L)):
        wish_T = gain_TH[:, arrays.tier_H == tier].max(axis=1, initial=0.0)
        wants = np.flatnonzero((wish_T > 0.0) & (tier_T != tier))
        has = np.flatnonzero((tier_T == tier) & free_T)
        if not len(wants) or not len(has):
            continue
        count = min(MOST_PAIRS, len(wants) * len(has))
        wisher_W = wants[rng.integers(0, len(wants), count)]
        holder_W = has[rng.integers(0, len(has), count)]
        meet_W = (arrays.start_T[wisher_W] < arrays.end_T[holder_W]) & (
            arrays.start_T[holder_W] < arrays.end_T[wisher_W]
        )
        out_TH = np.where(problem.allowed_TH & (arrays.tier_H < tier), solution.regret_TH, np.inf)
        kept_T = out_TH.min(axis=1)
        weight_W = np.minimum(1.0, kept_T[holder_W] / solution.latency_s / FULL_WEIGHT)
        keep_W = meet_W & (weight_W > 0.0) & np.isfinite(weight_W)
        holders.append(holder_W[keep_W])
        wishers.append(wisher_W[keep_W])
        weights.append(weight_W[keep_W])
    if not holders:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, np.zeros(0, np.float32)
    return (
        np.concatenate(holders),
        np.concatenate(wishers),
        np.concatenate(weights).astype(np.float32),
    )
