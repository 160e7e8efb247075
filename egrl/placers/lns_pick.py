"""Which tensors large-neighbourhood search frees next.

A picker is any callable of the `Picker` form. Those here are `pick_random`, the baseline, and
`ScorePicker`, which needs no more than a score of every tensor, whoever computes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.incremental.state import (
    END,
    FIRST_USE,
    LAST_USE,
    OP,
    START,
    State,
)
from egrl.placers.session import Session

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

ONE_WINDOW, TWO_WINDOWS = 0.4, 0.8
"""Below the first a random neighbourhood is one window of ops, below the second two of them."""


LEAST_SCORE = 0.05
"""Of the mean score: what a tensor without one counts for among rivals."""


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


@dataclass(frozen=True, slots=True)
class ScorePicker:
    """A seed tensor drawn by score, what is used beside it, and what competes with it for memory.

    The rivals are live when the seed is; they are drawn by score and by how much of its lifetime
    they share.

    Attributes:
        score: of every tensor of the problem; not negative, higher is picked more often.
        rivals: their share of the neighbourhood.
    """

    score: Callable[[Session, State], F64]
    rivals: float = 0.25

    def __call__(self, session: Session, state: State, size: int, rng: np.random.Generator) -> I64:
        """See `Picker`."""
        free, tables = session.free, session.decoder.tables
        score_F = np.maximum(self.score(session, state)[free], 0.0)
        total = float(score_F.sum())
        if not total > 0.0:
            return pick_random(session, state, size, rng)
        seed = int(free[rng.choice(len(free), p=score_F / total)])
        uses = tables.use_UF[
            tables.tensor_TF[seed, FIRST_USE] : tables.tensor_TF[seed, LAST_USE], OP
        ]
        op = int(uses[rng.integers(len(uses))]) if len(uses) else int(tables.tensor_TF[seed, START])
        near = near_op(session, op, size - int(size * self.rivals), rng)
        # Gumbel noise: a draw without replacement in proportion to the weights.
        weight_F = (score_F + LEAST_SCORE * total / len(free)) * competes(session, seed)
        with np.errstate(divide="ignore"):
            key_F = np.log(weight_F) + rng.gumbel(size=len(free))
        rivals = free[np.argsort(-key_F, kind="stable")[: size + 1]]
        chosen = dict.fromkeys([seed, *near.tolist(), *rivals.tolist()])
        return np.array(list(chosen)[:size], np.int64)


def competes(session: Session, seed: int) -> F64:
    """For each free tensor the share of the seed's lifetime at which it is live as well."""
    tables = session.decoder.tables
    start_T, end_T = tables.tensor_TF[:, START], tables.tensor_TF[:, END]
    free = session.free
    shared = np.minimum(end_T[free], end_T[seed]) - np.maximum(start_T[free], start_T[seed])
    share_F: F64 = np.maximum(0, shared) / max(1, int(end_T[seed] - start_T[seed]))
    return share_F
