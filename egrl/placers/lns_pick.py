"""Which tensors large-neighbourhood search frees next.

A picker is any callable of the `Picker` form. `pick_random` is what the measurements kept: neither
the engine's blame nor the policy's preferences picked better (decision 0023).
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.incremental.state import (
    FIRST_USE,
    LAST_USE,
    OP,
    State,
)
from egrl.placers.session import Session

I64 = NDArray[np.int64]

ONE_WINDOW, TWO_WINDOWS = 0.4, 0.8
"""Below the first a random neighbourhood is one window of ops, below the second two of them."""


class Picker(Protocol):
    """Chooses the tensors of a neighbourhood."""

    def __call__(self, session: Session, state: State, size: int, rng: np.random.Generator) -> I64:
        """Free tensors, no more than `size`, those that matter most first.

        Args:
            session: the search; its problem, tables and values of tensors.
            state: the incumbent, its live bytes and its timeline.
            size: at most so many.
            rng: source of all randomness.
        """


def pick_random(session: Session, state: State, size: int, rng: np.random.Generator) -> I64:
    """What is used at or next to one or two random ops, or tensors from anywhere."""
    draw = rng.random()
    if draw >= TWO_WINDOWS:
        return rng.permutation(session.free)[:size]
    ops = rng.integers(len(state.record_N), size=1 if draw < ONE_WINDOW else 2).tolist()
    share = -(-size // len(ops))
    near = [near_op(session, op, share, rng) for op in ops]
    return np.array(list(dict.fromkeys(np.concatenate(near).tolist())), np.int64)[:size]


def near_op(session: Session, op: int, count: int, rng: np.random.Generator) -> I64:
    """Free tensors by the distance of their nearest use from an op; ties in random order."""
    tables, free = session.decoder.tables, session.free
    distance_U = np.abs(tables.use_UF[:, OP] - op)
    first_T, last_T = tables.tensor_TF[free, FIRST_USE], tables.tensor_TF[free, LAST_USE]
    distance_F = np.full(len(free), np.iinfo(np.int64).max)
    used = last_T > first_T
    # The uses of a tensor lie side by side.
    least_T = np.minimum.reduceat(
        distance_U, tables.tensor_TF[:, FIRST_USE].clip(0, len(distance_U) - 1)
    )
    distance_F[used] = least_T[free[used]]
    shuffled = rng.permutation(len(free))
    nearest = shuffled[np.argsort(distance_F[shuffled], kind="stable")[:count]]
    chosen: I64 = free[nearest]
    return chosen
