"""Draws that the generators share. All randomness comes from the generator that is passed in."""

from collections.abc import Sequence
from math import exp, log
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


def pick(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """One of several, equally likely."""
    return choices[int(rng.integers(len(choices)))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with this probability."""
    return bool(rng.random() < probability)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return exp(rng.uniform(log(low), log(high)))


def rounded(value: float, quantum: int = 8) -> int:
    """The nearest multiple of a quantum, at least one."""
    return max(1, round(value / quantum)) * quantum


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """Divides a whole number in proportion, at least 1 each where there are enough."""
    counts: list[int] = []
    left, rest = total, sum(weights)
    for at, weight in enumerate(weights):
        after = len(weights) - at - 1
        count = max(1, min(left - after, round(left * weight / rest)))
        counts.append(count)
        left -= count
        rest -= weight
    return counts


def width_factor(ops: int) -> float:
    """How much narrower deep networks are: bytes of weights grow little faster than ops do."""
    return float(min(1.0, (150 / ops) ** 0.4))
