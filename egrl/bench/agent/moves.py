"""The transition matrix of maps: from where `native` has a tensor to where another map has it."""

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.placers.base import Budget
from egrl.placers.native import Native

Matrix = list[list[int]]


def transition(
    problem: PlacementProblem, before_T: NDArray[np.int8], after_T: NDArray[np.int8]
) -> tuple[Matrix, Matrix]:
    """Bytes, and number, of the tensors with a choice by tier before (rows) and after (columns).

    Args:
        problem: whose tensors.
        before_T: int8, homes.
        after_T: int8, homes.
    """
    tier_H, tiers = problem.arrays.tier_H, len(problem.accelerator.tiers)
    free = problem.free_tensors
    cell_F = tier_H[before_T[free]] * tiers + tier_H[after_T[free]]
    size_F = np.array([problem.workload.tensors[t].size_bytes for t in free.tolist()], np.int64)
    bytes_C = np.zeros(tiers * tiers, np.int64)
    np.add.at(bytes_C, cell_F, size_F)
    count_C = np.bincount(cell_F, minlength=tiers * tiers)
    return bytes_C.reshape(tiers, tiers).tolist(), count_C.reshape(tiers, tiers).tolist()


def from_native(problem: PlacementProblem, after_T: NDArray[np.int8]) -> tuple[Matrix, Matrix]:
    """The transition from the map of `native`."""
    native = Native().place(problem, Budget(), np.random.default_rng(0))
    return transition(problem, native.homes_T, after_T)
