"""The neighbourhood of a plan: one tensor to another tier, or two at once.

A pair lets a tensor into a full tier by sending one of its tenants elsewhere (a swap, where it
goes to the place that was left). All moves keep a feasible plan feasible.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from egrl.audit.state import Change, State


@dataclass(frozen=True, slots=True)
class Move:
    """Changes that are made together.

    Attributes:
        changes: a tier for one or two tensors, the one that gains first.
        gain_s: seconds saved.
    """

    changes: tuple[Change, ...]
    gain_s: float


def best_moves(state: State, count: int) -> list[Move]:
    """The moves that recover most: each the best after those before it, no tensor twice.

    Args:
        state: a feasible plan; the moves are applied to it.
        count: how many at most; fewer where nothing more is gained.
    """
    moves: list[Move] = []
    used: set[int] = set()
    for _ in range(count):
        move = best_move(state, used)
        if move is None:
            break
        state.apply(move.changes)
        used.update(tensor for tensor, _ in move.changes)
        moves.append(move)
    return moves


def best_move(state: State, frozen: Collection[int] = ()) -> Move | None:
    """The feasible move with the largest gain, or None where no move gains.

    Args:
        state: a feasible plan, left as it was.
        frozen: tensors that stay.
    """
    moves = improving_moves(state, frozen)
    return moves[0] if moves else None


def improving_moves(state: State, frozen: Collection[int] = ()) -> list[Move]:
    """Feasible moves that gain, largest first.

    Every single one, and for each tensor and tier without room the best pair that lets it in.
    Ties go to the fewest changes, then to the tensor and tier that come first.

    Args:
        state: a feasible plan, left as it was.
        frozen: tensors that stay.
    """
    singles = single_gains(state, frozen)
    threshold = negligible(state)
    moves: list[Move] = []
    leavers = _Leavers(state, singles)
    for tensor, tier, gain in singles:
        if gain <= threshold:
            continue
        if state.room(tensor, tier):
            moves.append(Move(((tensor, tier),), gain))
            continue
        pair = leavers.best_pair(tensor, tier, gain, threshold)
        if pair is not None:
            moves.append(pair)
    return sorted(moves, key=lambda move: (-move.gain_s, len(move.changes), move.changes))


def single_gains(state: State, frozen: Collection[int] = ()) -> list[tuple[int, int, float]]:
    """(tensor, tier, seconds saved by moving it there), whether it fits or not."""
    return [
        (tensor, tier, state.gain(((tensor, tier),)))
        for tensor, tiers in enumerate(state.table.allowed_T)
        if tensor not in frozen
        for tier in tiers
        if tier != state.homes[tensor]
    ]


def negligible(state: State) -> float:
    """Gains up to this are rounding."""
    return state.seconds * 1e-9


class _Leavers:
    """Tenants of full tiers as flat arrays, to find those that make enough room at once."""

    def __init__(self, state: State, singles: list[tuple[int, int, float]]) -> None:
        self.state = state
        table = state.table
        self.tensor = np.array([t for t, _, _ in singles], dtype=np.int64)
        self.tier = np.array([m for _, m, _ in singles], dtype=np.int64)
        self.gain = np.array([g for _, _, g in singles], dtype=np.float64)
        self.home = np.array([state.homes[t] for t, _, _ in singles], dtype=np.int64)
        self.start = np.array([table.start_T[t] for t, _, _ in singles], dtype=np.int64)
        self.end = np.array([table.end_T[t] for t, _, _ in singles], dtype=np.int64)
        self.size = np.array([table.size_bytes_T[t] for t, _, _ in singles], dtype=np.int64)
        self.room = np.array([state.room(t, m) for t, m, _ in singles], dtype=bool)

    def best_pair(self, tensor: int, tier: int, gain_s: float, floor_s: float) -> Move | None:
        """The best pair that lets `tensor` into `tier`, if it gains more than `floor_s`."""
        state = self.state
        table = state.table
        capacity = table.capacity_bytes_M[tier]
        if capacity is None:
            return None
        start, end = table.start_T[tensor], table.end_T[tensor]
        over = state.live_MN[tier, start:end] + (table.size_bytes_T[tensor] - capacity)
        places = np.flatnonzero(over > 0)
        first, last = start + int(places[0]), start + int(places[-1])
        makes_room = (
            (self.home == tier)
            & (self.start <= first)
            & (self.end > last)
            & (self.size >= int(over.max()))
            & (self.tensor != tensor)
        )
        # A tenant goes where there is room already, or to the place that is left.
        found = np.flatnonzero(makes_room & (self.room | (self.tier == state.homes[tensor])))
        if found.size == 0:
            return None
        neighbours = {other for op in table.ops_T[tensor] for other in table.rules_N[op].tensors}
        # The gain of two tensors that share no op is exactly the sum of their gains, so that the
        # first of those that fits is the best; where they share one, all are priced.
        shares = np.array([int(t) in neighbours for t in self.tensor[found]], dtype=bool)
        sharing = found[shares]
        apart = found[~shares]
        estimate = gain_s + self.gain[apart]
        order = np.lexsort((apart, -estimate))
        best: Move | None = None
        for entry in (*sharing, *apart[order][estimate[order] > floor_s]):
            bar = floor_s if best is None else best.gain_s
            changes = ((tensor, tier), (int(self.tensor[entry]), int(self.tier[entry])))
            gain = state.gain(changes)
            if gain > bar and (self.room[entry] or state.fits(changes)):
                best = Move(changes, gain)
                if changes[1][0] not in neighbours:
                    break
            elif changes[1][0] not in neighbours and gain <= bar:
                break
        return best
