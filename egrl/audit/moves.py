"""The neighbourhood of a plan: one tensor to another tier, and what must make room for it.

A pair lets a tensor into a full tier by sending one of its tenants elsewhere (a swap, where that
goes to the place that was left); where no one tenant frees enough, up to `MAX_LEAVERS` leave, least
time lost for each byte first. All moves keep a feasible plan feasible.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from egrl.audit.state import Change, State

MAX_LEAVERS = 4

GROUP_TRIES = 64
"""How many groups are looked at for one list of moves, largest gain of the newcomer first."""

PRICEY = 0.75
"""A pair that keeps less of its gain than this is compared with a group."""


@dataclass(frozen=True, slots=True)
class Move:
    """Changes that are made together.

    Attributes:
        changes: a tier for one or more tensors, the one that gains first.
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


def improving_moves(
    state: State, frozen: Collection[int] = (), *, groups: bool = True
) -> list[Move]:
    """Feasible moves that gain, largest first.

    Every single one, and for each tensor and tier without room the best pair that lets it in, or
    where no pair gains a larger group.
    Ties go to the fewest changes, then to the tensor and tier that come first.

    Args:
        state: a feasible plan, left as it was.
        frozen: tensors that stay.
        groups: whether to look beyond pairs.
    """
    singles = single_gains(state, frozen)
    threshold = negligible(state)
    moves: list[Move] = []
    leavers = _Leavers(state, singles)
    tries = GROUP_TRIES if groups else 0
    for tensor, tier, gain in sorted(singles, key=lambda single: -single[2]):
        if gain <= threshold:
            break
        if state.room(tensor, tier):
            moves.append(Move(((tensor, tier),), gain))
            continue
        move = leavers.best_pair(tensor, tier, gain, threshold)
        paid = threshold if move is None else move.gain_s
        if tries > 0 and paid < PRICEY * gain:
            tries -= 1
            move = leavers.group(tensor, tier, gain, paid) or move
        if move is not None:
            moves.append(move)
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
        start = table.start_T[tensor]
        over = self._over(tensor, tier)
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

    def group(self, tensor: int, tier: int, gain_s: float, floor_s: float) -> Move | None:
        """A move that lets `tensor` into `tier` past several tenants, if it gains enough."""
        state = self.state
        start, end = state.table.start_T[tensor], state.table.end_T[tensor]
        over = self._over(tensor, tier)
        open_entries = self.room & (self.home == tier) & (self.tensor != tensor)
        left_s = gain_s
        chosen: list[int] = []
        while int(over.max()) > 0:
            if len(chosen) == MAX_LEAVERS:
                return None
            worst = int(over.argmax())
            op = start + worst
            options = np.flatnonzero(open_entries & (self.start <= op) & (self.end > op))
            if options.size == 0:
                return None
            useful = np.minimum(self.size[options], over[worst])
            loss = -self.gain[options] / np.maximum(1, useful)
            entry = int(options[np.lexsort((options, loss))[0]])
            left_s += float(self.gain[entry])
            if left_s <= floor_s:
                return None
            chosen.append(entry)
            open_entries &= self.tensor != self.tensor[entry]
            over[self._span(entry, start, end)] -= self.size[entry]
        for entry in list(chosen[:-1]):
            span = self._span(entry, start, end)
            if int((over[span] + self.size[entry]).max()) <= 0:
                over[span] += self.size[entry]
                chosen.remove(entry)
        leavers = tuple((int(self.tensor[e]), int(self.tier[e])) for e in chosen)
        changes = ((tensor, tier), *leavers)
        gain = state.gain(changes)
        return Move(changes, gain) if gain > floor_s and state.fits(changes) else None

    def _over(self, tensor: int, tier: int) -> NDArray[np.int64]:
        """Bytes over the capacity of `tier` during the life of `tensor` if it were let in."""
        table = self.state.table
        span = slice(table.start_T[tensor], table.end_T[tensor])
        capacity = table.capacity_bytes_M[tier] or 0
        return self.state.live_MN[tier, span] + (table.size_bytes_T[tensor] - capacity)

    def _span(self, entry: int, start: int, end: int) -> slice:
        """The part of [start, end) during which a tenant is live, counted from `start`."""
        first = max(0, int(self.start[entry]) - start)
        return slice(first, max(first, min(end, int(self.end[entry])) - start))
