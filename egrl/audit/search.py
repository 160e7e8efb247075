"""Plans of our own: a first-fit stand-in, a repair, greedy, and local search to a local optimum."""

from collections.abc import Sequence

from egrl.audit.cost import CostTable
from egrl.audit.moves import improving_moves, negligible, single_gains
from egrl.audit.state import State

MAX_ROUNDS = 40
"""Rounds of local search, so that the time is bounded."""

MAX_PRICINGS = 12_000
"""Tensors times rounds of local search, likewise."""


def first_fit(table: CostTable) -> list[int]:
    """The plan that stands in where none is given.

    In execution order, tensors that become live or are first used go into the innermost tier in
    which they fit beside everything already placed, over their whole lifetime; where none has
    room, into the outermost that may hold them. No look-ahead, nothing is revisited.
    """
    order = sorted(range(len(table.size_bytes_T)), key=lambda t: _first_fit_key(table, t))
    state = State(table, [tiers[0] for tiers in table.allowed_T])
    for tensor in range(len(table.size_bytes_T)):
        _lift(state, tensor)
    for tensor in order:
        _place(state, tensor)
    return state.homes


def outermost(table: CostTable) -> list[int]:
    """Every tensor in the outermost tier that may hold it, made to fit."""
    return repair(table, [tiers[0] for tiers in table.allowed_T])


def repair(table: CostTable, homes: Sequence[int]) -> list[int]:
    """A nearby plan that fits, where moving tensors one at a time finds one.

    Tensors that are where they may not be go first. Then, as long as a tier is over its capacity,
    the tensor live at its worst op moves whose move costs least time for each byte; it goes where
    it fits, or failing that one tier outwards. The result may still not fit.
    """
    start = [
        home if home in tiers else tiers[0]
        for home, tiers in zip(homes, table.allowed_T, strict=True)
    ]
    state = State(table, start)
    moved: set[tuple[int, int]] = set()
    while (worst := _worst_overflow(state)) is not None:
        tier, op = worst
        options = [
            (not state.room(tensor, to), -state.gain(((tensor, to),)) / size, tensor, to)
            for tensor, size in enumerate(table.size_bytes_T)
            if state.homes[tensor] == tier
            and size > 0
            and table.start_T[tensor] <= op < table.end_T[tensor]
            for to in table.allowed_T[tensor]
            if to != tier and (tensor, to) not in moved
        ]
        if not options:
            break
        _, _, tensor, to = min(options)
        moved.add((tensor, to))
        moved.add((tensor, tier))
        state.apply(((tensor, to),))
    return state.homes


def improve(table: CostTable, homes: Sequence[int]) -> list[int]:
    """Greedy by time saved per byte, then rounds of moves until none gains.

    A round prices all moves once and makes them in order of gain, each only if it still fits and
    still gains. Groups of more than two tensors are looked at when singles and pairs are used up.

    Args:
        table: the problem.
        homes: a feasible plan.
    """
    state = State(table, homes)
    _fill(state)
    rounds = min(MAX_ROUNDS, max(1, MAX_PRICINGS // max(1, len(table.allowed_T))))
    for _ in range(rounds):
        moves = improving_moves(state, groups=False) or improving_moves(state)
        for move in moves:
            stays = any(state.homes[tensor] == tier for tensor, tier in move.changes)
            if (
                not stays
                and state.gain(move.changes) > negligible(state)
                and state.fits(move.changes)
            ):
                state.apply(move.changes)
        if not moves:
            break
    return state.homes


def fill(table: CostTable, homes: Sequence[int]) -> list[int]:
    """The greedy part of `improve` alone."""
    state = State(table, homes)
    _fill(state)
    return state.homes


def round_shares(table: CostTable, shares: Sequence[Sequence[float]]) -> list[int]:
    """A feasible plan near a fractional one, built on the plan `outermost`.

    Args:
        table: the problem.
        shares: for each tensor, how much of it each tier holds; the largest go first.
    """
    state = State(table, outermost(table))
    ranked = sorted(
        (-share, tensor, tier)
        for tensor, row in enumerate(shares)
        for tier, share in enumerate(row)
        if share > 0.01 and tier in table.allowed_T[tensor]
    )
    for _, tensor, tier in ranked:
        if state.homes[tensor] != tier and state.room(tensor, tier):
            state.apply(((tensor, tier),))
    return state.homes


def _fill(state: State) -> None:
    """Single moves, most time saved per byte and op of lifetime first, until none gains."""
    table = state.table
    for _ in range(len(table.tier_names_M) + 1):
        ranked = sorted(
            (-gain / max(1, table.size_bytes_T[t] * (table.end_T[t] - table.start_T[t])), t, m)
            for t, m, gain in single_gains(state)
            if gain > negligible(state)
        )
        changed = False
        for _, tensor, tier in ranked:
            if state.homes[tensor] == tier or not state.room(tensor, tier):
                continue
            if state.gain(((tensor, tier),)) > negligible(state):
                state.apply(((tensor, tier),))
                changed = True
        if not changed:
            break


def _first_fit_key(table: CostTable, tensor: int) -> tuple[int, bool, int]:
    """First use, then weights before what the op produces, then order in the problem."""
    ops = table.ops_T[tensor]
    first_use = ops[0] if ops else table.start_T[tensor]
    return first_use, table.problem.tensors[tensor].kind != "weight", tensor


def _lift(state: State, tensor: int) -> None:
    """Takes a tensor's bytes out of the account, so that placing starts from empty tiers."""
    table = state.table
    span = slice(table.start_T[tensor], table.end_T[tensor])
    state.live_MN[state.homes[tensor], span] -= table.size_bytes_T[tensor]


def _place(state: State, tensor: int) -> None:
    table = state.table
    tiers = table.allowed_T[tensor]
    home = next((tier for tier in reversed(tiers) if state.room(tensor, tier)), tiers[0])
    span = slice(table.start_T[tensor], table.end_T[tensor])
    state.homes[tensor] = home
    state.live_MN[home, span] += table.size_bytes_T[tensor]


def _worst_overflow(state: State) -> tuple[int, int] | None:
    """(tier, op) with the most bytes over capacity, or None."""
    worst: tuple[int, int, int] | None = None
    for tier, capacity in enumerate(state.table.capacity_bytes_M):
        if capacity is None:
            continue
        op = int(state.live_MN[tier].argmax())
        over = int(state.live_MN[tier, op]) - capacity
        if over > 0 and (worst is None or over > worst[0]):
            worst = (over, tier, op)
    return None if worst is None else (worst[1], worst[2])
