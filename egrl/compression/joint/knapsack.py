"""The cheapest precision of each product under budgets, by Lagrangian multipliers."""

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

STEPS = 40
"""Halvings of a multiplier's interval."""


def cheapest(seconds_SP: F64, weight_SPB: F64, room_B: F64) -> I64 | None:
    """A choice for each product that keeps to all budgets and costs few seconds.

    Every budget has a multiplier, raised in turn until the choice that is best product by product
    keeps to it; what is left over is then spent greedily. The result is the optimum of the
    relaxation or near it.

    Args:
        seconds_SP: of each product in each precision.
        weight_SPB: what each takes of each budget, not negative.
        room_B: of the budgets.

    Returns:
        Precision of each product; None where no choice was found that keeps to the budgets.
    """
    multiplier_B = np.zeros(len(room_B))
    choice_S = _best(seconds_SP, weight_SPB, multiplier_B)
    for _ in range(2 * len(room_B)):
        over_B = _used(weight_SPB, choice_S) > room_B
        if not over_B.any():
            break
        b = int(np.argmax(over_B))
        found = _raised(seconds_SP, weight_SPB, multiplier_B, room_B, b)
        if found is None:
            return None
        choice_S = found
    if (_used(weight_SPB, choice_S) > room_B).any():
        return None
    return _spent(seconds_SP, weight_SPB, room_B, choice_S)


def _used(weight_SPB: F64, choice_S: I64) -> F64:
    """What a choice takes of every budget."""
    used_B: F64 = weight_SPB[np.arange(len(choice_S)), choice_S].sum(axis=0)
    return used_B


def _best(seconds_SP: F64, weight_SPB: F64, multiplier_B: F64) -> I64:
    choice_S: I64 = (seconds_SP + weight_SPB @ multiplier_B).argmin(axis=1)
    return choice_S


def _raised(seconds_SP: F64, weight_SPB: F64, multiplier_B: F64, room_B: F64, b: int) -> I64 | None:
    """Raises the multiplier of one budget until that is kept to; changes it in place."""
    spread = float(seconds_SP.max() - seconds_SP.min()) or 1.0
    steps = np.abs(np.diff(np.sort(weight_SPB[:, :, b], axis=1), axis=1))
    smallest = float(steps[steps > 0].min(initial=np.inf))
    low, high = 0.0, 4.0 * spread / smallest if np.isfinite(smallest) else 1.0
    multiplier_B[b] = high
    choice_S = _best(seconds_SP, weight_SPB, multiplier_B)
    if _used(weight_SPB, choice_S)[b] > room_B[b]:
        return None
    for _ in range(STEPS):
        # Multipliers span many orders of magnitude.
        multiplier_B[b] = middle = (low * high) ** 0.5 if low > 0 else high * 1e-3
        tried_S = _best(seconds_SP, weight_SPB, multiplier_B)
        if _used(weight_SPB, tried_S)[b] > room_B[b]:
            low = middle
        else:
            high, choice_S = middle, tried_S
    multiplier_B[b] = high
    return choice_S


def _spent(seconds_SP: F64, weight_SPB: F64, room_B: F64, choice_S: I64) -> I64:
    """Takes, while there is room, the step that saves most for the largest share it uses up."""
    choice_S = choice_S.copy()
    rows = np.arange(len(choice_S))
    while True:
        left_B = room_B - _used(weight_SPB, choice_S)
        saved_SP = seconds_SP[rows, choice_S][:, None] - seconds_SP
        more_SPB = weight_SPB - weight_SPB[rows, choice_S][:, None, :]
        fits_SP = (more_SPB <= left_B).all(axis=2) & (saved_SP > 0)
        if not fits_SP.any():
            return choice_S
        share_SP = np.maximum(more_SPB / np.maximum(room_B, 1e-300), 1e-12).max(axis=2)
        value_SP = np.where(fits_SP, saved_SP / share_SP, -np.inf)
        s, p = np.unravel_index(int(value_SP.argmax()), value_SP.shape)
        choice_S[s] = p
