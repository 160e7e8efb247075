"""What a choice of precisions is decoded from, and who gives it.

Axes: S products, P precisions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

SPREAD = 0.3
"""Prices are drawn up to so much cheaper or dearer."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a choice is decoded from.

    Attributes:
        late_S: between 0 and 1, how much of its streams a product is taken to wait for.
        byte_value_S: between 0 and 1, of the time that a byte takes from the slowest memory: bytes
            are worth something even where their own op does not wait for them, since they leave
            room on chip, or time on a shared bus, to others.
        price_SP: factors of every price, positive.
    """

    late_S: F64
    byte_value_S: F64
    price_SP: F64


def draw_keys(rng: np.random.Generator, shape: tuple[int, int]) -> Keys:
    """Keys at random, for S products and P precisions."""
    late, byte_value = rng.random(), rng.random()
    products = shape[0]
    price_SP = rng.uniform(1 - SPREAD, 1 + SPREAD, shape)
    return Keys(np.full(products, late), np.full(products, byte_value), price_SP)
