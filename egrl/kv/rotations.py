"""How a decoder rotates its queries by their position: measured, not read out of its graph.

The same tokens are computed with all their positions equal, once at 0 and once each at powers of
two: attention then sees no distance, so that nothing but the rotation of the queries themselves
differs. Two channels that turn together are found by how well a turn explains them; the angle of a
position is refined from power to power.

Suffixes: N queries of all heads and rows, D channels, P positions.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from graph_ir.compression.method import Array, Feeds, Runner
from graph_ir.decoder.decoder import ATTENTION, DOMAIN, POSITIONS, TOKENS, Decoder
from graph_ir.errors import InputError
from graph_ir.kv.scoring import Rotation
from graph_ir.onnx_values import value_name

F64 = NDArray[np.float64]

ROWS = 64
MOST = 4096
"""Furthest position that is measured."""
# Of the largest query: a channel that moves less stands still; what a rotation may be off by.
_STILL, _OFF = 1e-4, 5e-3


def measure_rotations(
    decoder: Decoder, runner: Runner, context: int, seed: int = 0
) -> tuple[Rotation, ...]:
    """The rotation of each attention's queries; none where positions are added to tokens.

    Args:
        decoder: it is not changed.
        runner: executes it.
        context: positions that a sequence may have.
        seed: of the tokens.

    Raises:
        InputError: queries depend on their position in another way, or the runner refuses.
    """
    nodes = {n.name: n for n in decoder.model.graph if (n.domain, n.op_type) == (DOMAIN, ATTENTION)}
    queries_of = [nodes[attention.node].inputs[0] for attention in decoder.layers]
    names = [value_name(query) for query in queries_of if query is not None]
    ids = np.random.default_rng(seed).integers(0, decoder.vocabulary, (1, ROWS))
    execute = runner.open(decoder.model, names)
    last = min(context, decoder.most_positions or context, MOST + 1) - 1
    steps = [2**power for power in range(last.bit_length()) if 2**power <= last]

    def queries(position: int) -> dict[str, Array]:
        feeds: Feeds = {TOKENS: ids, POSITIONS: np.full(ROWS, position)}
        return execute(feeds)

    first = queries(0)
    moved = [(position, queries(position)) for position in [*steps, last]]
    found: list[Rotation] = []
    for index, (name, attention) in enumerate(zip(names, decoder.layers, strict=True)):
        width = attention.head_width
        before_ND = _flat(first[name], width)
        after = [(position, _flat(values[name], width)) for position, values in moved]
        rotation = _rotation(index, before_ND, after)
        # What differs by noise alone is the same, and is computed once in a graph.
        same = (known for known in found if _agree(known, rotation, max(last, 1)))
        found.append(next(same, rotation))
    return tuple(found)


def _agree(one: Rotation, other: Rotation, last: int) -> bool:
    planes = [(a.width, [pair[:2] for pair in a.pairs]) for a in (one, other)]
    gaps = [abs(a[2] - b[2]) for a, b in zip(one.pairs, other.pairs, strict=False)]
    return planes[0] == planes[1] and max(gaps, default=0.0) * last <= _STILL


def _flat(queries: Array, width: int) -> F64:
    return cast(F64, queries.reshape(-1, width).astype(np.float64))


def _rotation(index: int, before_ND: F64, after: list[tuple[int, F64]]) -> Rotation:
    width = before_ND.shape[1]
    largest = float(np.abs(before_ND).max()) or 1.0
    if not after:
        return Rotation(width)
    one_ND = after[0][1]
    longer = np.linalg.norm(one_ND, axis=1) - np.linalg.norm(before_ND, axis=1)
    if np.abs(longer).max() > _OFF * largest:
        return Rotation(width)  # a position is part of what a token is
    moves_D = np.max([np.abs(then_ND - before_ND).max(axis=0) for _, then_ND in after], axis=0)
    moving = [int(channel) for channel in np.flatnonzero(moves_D > _STILL * largest)]
    error_DD = sum((_left(before_ND, then_ND) for _, then_ND in after), np.zeros((width, width)))
    pairs = []
    while len(moving) > 1:
        one = moving.pop(0)
        other = min(moving, key=lambda channel: (error_DD[one, channel], channel))
        moving.remove(other)
        pairs.append((one, other, _angle(before_ND, after, one, other)))
    rotation = Rotation(width, tuple(pairs))
    off = max(
        float(np.abs(rotated(rotation, before_ND, position) - then_ND).max())
        for position, then_ND in after
    )
    if off > _OFF * largest:
        raise InputError(
            f"attention {index}: expected queries that are rotated by their position, or whose "
            f"tokens have it added; they differ from a rotation by {100 * off / largest:.2g} %"
        )
    return rotation


def _turned(before_ND: F64, after_ND: F64) -> tuple[F64, F64]:
    """For each two channels, cosine and sine of the best turn, times what they hold together."""
    products_DD = before_ND.T @ after_ND
    own_D = np.diag(products_DD)
    return own_D[:, None] + own_D[None], products_DD - products_DD.T


def _left(before_ND: F64, after_ND: F64) -> F64:
    """Share of two channels that the best turn does not explain, [D, D]."""
    energy_D = np.square(before_ND).sum(axis=0) + np.square(after_ND).sum(axis=0)
    energy_DD = energy_D[:, None] + energy_D[None]
    left_DD = energy_DD - 2 * np.hypot(*_turned(before_ND, after_ND))
    return cast(F64, left_DD / np.maximum(energy_DD, np.finfo(np.float64).tiny))


def _angle(before_ND: F64, after: list[tuple[int, F64]], one: int, other: int) -> float:
    """Radians by which a position turns two channels."""
    angle = 0.0
    for position, after_ND in after:
        cos, sin = _turned(before_ND[:, [one, other]], after_ND[:, [one, other]])
        there = float(np.arctan2(sin[0, 1], cos[0, 1]))
        turns = round((position * angle - there) / (2 * np.pi))
        angle = (there + 2 * np.pi * turns) / position
    return angle


def rotated(rotation: Rotation, rows_ND: F64, position: int) -> F64:
    """Queries of position 0 as they are at another."""
    result = rows_ND.copy()
    for one, other, radians in rotation.pairs:
        cos, sin = np.cos(position * radians), np.sin(position * radians)
        result[:, one] = cos * rows_ND[:, one] - sin * rows_ND[:, other]
        result[:, other] = cos * rows_ND[:, other] + sin * rows_ND[:, one]
    return result
