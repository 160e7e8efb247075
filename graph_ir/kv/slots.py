"""Where the rows of a step go and which slots they see: computed once in a step for all layers.

A windowed group has, in this order, a slot for the compensation (if any), one for each of its
first positions (sinks), and a ring: position t >= sinks is in ring slot (t - sinks) mod window.

Suffixes: R rows of the step, S slots of a cache, H heads, G query heads of each KV head, N
entries read and written: the rows, after the compensation slot where there is one.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graph_ir.kv.writing import Writer

INT64, FLOAT, DOUBLE = ir.DataType.INT64, ir.DataType.FLOAT, ir.DataType.DOUBLE


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the places and masks of a group depend on.

    Attributes:
        slots: of its caches.
        window: positions in the ring, 0 where everything is kept.
        sinks: first positions kept.
        compensation: whether slot 0 holds means.
        seen: positions that a query of the model sees, 0 for all before it.
        slopes: ALiBi, for each KV head those of its query heads; empty without.
        by_row: whether ALiBi's bias needs to be right for each row, not up to a constant of the
            row: that is so where learned sinks join the sum.
    """

    slots: int
    window: int
    sinks: int
    compensation: bool
    seen: int
    slopes: tuple[tuple[float, ...], ...]
    by_row: bool

    @property
    def first(self) -> int:
        """First slot of a position."""
        return int(self.compensation)


@dataclass(frozen=True, slots=True)
class Places:
    """What a group's attention is told.

    Attributes:
        slot_R: slots of the rows.
        entries_N: those that are read before they are written, the compensation's first.
        bias: float, added to scaled logits: [R, S], behind it [R, R] for the rows themselves
            where a windowed group attends to a chunk; -inf where nothing is seen.
        fold_1N: float, by which the entries add up to the new means; None without compensation.
        valid_R1: bool, rows that are not padding; None where there is one row.
        alibi: float, [1, H, G, R or 1, S], added too; None without slopes.
        before: [1], how many positions a windowed group has dropped before the step.
    """

    slot_R: ir.Value
    entries_N: ir.Value
    bias: ir.Value
    fold_1N: ir.Value | None
    valid_R1: ir.Value | None
    alibi: ir.Value | None
    before: ir.Value | None


class Step:
    """The positions of one step."""

    def __init__(self, writer: Writer, past: ir.Value, count: ir.Value | None, rows: int) -> None:
        """Args: where nodes go; positions before the step [1]; valid rows [1]; number of rows."""
        self.writer = writer
        self.past = past
        self.count = count
        self.rows = rows
        self.position_R = past
        self.valid_R1: ir.Value | None = None
        if count is not None:
            row_R = writer.integers(range(rows))
            self.position_R = writer.op("Add", past, row_R)
            self.valid_R1 = writer.op(
                "Less", writer.constant(np.arange(rows).reshape(rows, 1)), count
            )
        self.position_R1 = writer.op("Unsqueeze", self.position_R, writer.integers([1]))

    def end(self) -> ir.Value:
        """Positions after the step, [1]."""
        count = self.count if self.count is not None else self.writer.integers([1])
        return self.writer.op("Add", self.past, count)

    def model_positions(self) -> ir.Value:
        """Positions of the rows as the model may look them up: padding repeats the last."""
        if self.count is None:
            return self.past
        writer = self.writer
        last = writer.op("Sub", self.end(), writer.integers([1]))
        return writer.op("Min", self.position_R, last)


def places(step: Step, geometry: Geometry) -> Places:
    """Writes the nodes that compute a group's places."""
    if geometry.window == 0:
        return _full(step, geometry)
    return _windowed(step, geometry)


def write_indices(step: Step, entries_N: ir.Value, heads: int, count: int) -> ir.Value:
    """Indices [1, heads, count, 3] with which ScatterND writes the entries of all heads."""
    writer = step.writer
    fixed = np.zeros((1, heads, count, 2), np.int64)
    fixed[..., 1] = np.arange(heads)[:, None]
    column = writer.reshape(entries_N, [1, 1, count, 1])
    slots = writer.op("Expand", column, writer.integers([1, heads, count, 1]))
    return writer.concat([writer.constant(fixed), slots], 3)


def _full(step: Step, geometry: Geometry) -> Places:
    writer = step.writer
    capacity = writer.integers([geometry.slots])
    slot_S = writer.integers(range(geometry.slots))
    # Rows of padding may lie behind the end; they write back what is there.
    entries_N = step.position_R
    if step.rows > 1:
        entries_N = writer.op("Mod", step.position_R, capacity)
    seen_RS = _not_after(step, slot_S)
    if geometry.seen:
        seen_RS = writer.op("And", seen_RS, _within(step, slot_S, geometry.seen))
    alibi = None
    if geometry.slopes:
        alibi = _alibi(step, geometry, _distance(step, geometry, slot_S), None)
    return Places(entries_N, entries_N, _bias(writer, seen_RS), None, step.valid_R1, alibi, None)


def _windowed(step: Step, geometry: Geometry) -> Places:
    writer, one = step.writer, step.writer.integers([1])
    kept = writer.integers([geometry.sinks + geometry.window])
    zero = writer.integers([0])
    # How many positions have been dropped before and after the step.
    before = writer.op("Max", writer.op("Sub", step.past, kept), zero)
    after = writer.op("Max", writer.op("Sub", step.end(), kept), zero)
    slot_R = entries_N = _slots_of_rows(step, geometry)
    fold_1N = None
    if geometry.compensation:
        entries_N = writer.concat([zero, entries_N], 0)
        fold_1N = _fold(step, kept, before, after)
    # A single row is written before it attends; a chunk attends to the caches as they were.
    chunk = step.rows > 1
    last = step.past if not chunk else writer.op("Sub", step.past, one)
    order_S = writer.integers(range(-geometry.first, geometry.slots - geometry.first))
    seen = writer.at_most(order_S, last)
    position_S = None
    if geometry.seen or geometry.slopes:
        position_S = _positions(step, geometry, last)
    if geometry.seen and position_S is not None:
        seen = writer.op("And", seen, _within(step, position_S, geometry.seen))
    bias = _bias(writer, seen)
    if not geometry.seen:
        bias = writer.op("Unsqueeze", bias, zero)
        if chunk:
            extents = writer.integers([step.rows, geometry.slots])
            bias = writer.op("Expand", bias, extents)
    dropped = before if chunk else after
    if geometry.compensation:
        bias = _with_compensation(step, geometry, bias, dropped)
    if chunk:
        bias = writer.concat([bias, writer.constant(_causal(step.rows, geometry.seen))], 1)
    alibi = None
    if geometry.slopes and position_S is not None:
        distance = _distance(step, geometry, position_S)
        alibi = _alibi(step, geometry, distance, dropped)
    return Places(slot_R, entries_N, bias, fold_1N, step.valid_R1, alibi, before)


def _slots_of_rows(step: Step, geometry: Geometry) -> ir.Value:
    writer = step.writer
    begin = writer.integers([geometry.first + geometry.sinks])
    behind = writer.op("Sub", step.position_R, writer.integers([geometry.sinks]))
    ring = writer.op("Add", writer.op("Mod", behind, writer.integers([geometry.window])), begin)
    if geometry.sinks == 0:
        return ring
    sink = writer.op("Add", step.position_R, writer.integers([geometry.first]))
    is_sink = writer.op("Less", step.position_R, writer.integers([geometry.sinks]))
    return writer.op("Where", is_sink, sink, ring)


def _fold(step: Step, kept: ir.Value, before: ir.Value, after: ir.Value) -> ir.Value:
    """Weights [1, N] with which the old means and the entries pushed out make the new means."""
    writer = step.writer
    pushes_R = writer.at_least(step.position_R, kept)
    if step.valid_R1 is not None:
        valid_R = writer.op("Squeeze", step.valid_R1, writer.integers([1]))
        pushes_R = writer.op("And", pushes_R, valid_R)
    weights_N = writer.concat([writer.cast(before, FLOAT), writer.cast(pushes_R, FLOAT)], 0)
    total = writer.cast(writer.op("Max", after, writer.integers([1])), FLOAT)
    return writer.op("Unsqueeze", writer.op("Div", weights_N, total), writer.integers([0]))


def _with_compensation(
    step: Step, geometry: Geometry, bias: ir.Value, dropped: ir.Value
) -> ir.Value:
    """The bias with the logarithm of how many were dropped for the compensation slot."""
    writer = step.writer
    rest = writer.op(
        "Slice", bias, *(writer.integers([number]) for number in (1, geometry.slots, 1))
    )
    if geometry.slopes:  # `_alibi` says all about the slot
        logarithm = writer.constant(np.zeros((step.rows, 1), np.float32))
    else:
        logarithm = writer.op("Log", writer.cast(dropped, FLOAT))
        logarithm = writer.op("Expand", logarithm, writer.integers([step.rows, 1]))
    return writer.concat([logarithm, rest], 1)


def _positions(step: Step, geometry: Geometry, last: ir.Value) -> ir.Value:
    """The position in each slot, [S], once it is filled; anything for the compensation's."""
    writer = step.writer
    sinks, window = geometry.sinks, geometry.window
    ring_W = writer.integers(range(sinks, sinks + window))
    behind = writer.op("Mod", writer.op("Sub", last, ring_W), writer.integers([window]))
    fixed = writer.integers([0] * geometry.first + list(range(sinks)))
    return writer.concat([fixed, writer.op("Sub", last, behind)], 0)


def _not_after(step: Step, position_S: ir.Value) -> ir.Value:
    return step.writer.at_most(position_S, step.position_R1)


def _within(step: Step, position_S: ir.Value, seen: int) -> ir.Value:
    behind_RS = step.writer.op("Sub", step.position_R1, position_S)
    return step.writer.op("Less", behind_RS, step.writer.integers([seen]))


def _bias(writer: Writer, seen: ir.Value) -> ir.Value:
    return writer.op("Where", seen, writer.number(0.0), writer.number(-np.inf))


def _causal(rows: int, seen: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """What the rows of a chunk add to the logits of one another."""
    behind_RR = np.arange(rows)[:, None] - np.arange(rows)
    visible_RR = behind_RR >= 0
    if seen:
        visible_RR &= behind_RR < seen
    return np.where(visible_RR, 0.0, -np.inf).astype(np.float32)


def _distance(step: Step, geometry: Geometry, position_S: ir.Value) -> ir.Value:
    """Key's minus query's position, [R, S] or, up to a constant of the row, [1, S].

    For a chunk of a windowed group the rows themselves follow the slots.
    """
    writer = step.writer
    if step.rows > 1 and geometry.window:
        position_S = writer.concat([position_S, step.position_R], 0)
    queries = step.position_R1 if geometry.by_row else writer.reshape(step.past, [1, 1])
    return writer.op("Sub", position_S, queries)


def _alibi(
    step: Step, geometry: Geometry, distance: ir.Value, dropped: ir.Value | None
) -> ir.Value:
    """ALiBi's bias.

    The compensation slot stands for all that was dropped, positions `sinks .. last` of n: its logit
    gets the logarithm of the sum of what each would have been multiplied by,
    slope * (last - query) + log((1 - exp(-slope n)) / (1 - exp(-slope))).
    """
    writer = step.writer
    slopes_HG11 = np.array(geometry.slopes, np.float64)[:, :, None, None]
    slopes = writer.constant(slopes_HG11[None])
    if dropped is None or not geometry.compensation:
        bias = writer.op("Mul", slopes, writer.cast(distance, DOUBLE))
        return writer.cast(bias, FLOAT)
    starts, ends, columns = ([number] for number in (1, np.iinfo(np.int64).max, 1))
    rest = writer.op("Slice", distance, *(writer.integers(v) for v in (starts, ends, columns)))
    others = writer.op("Mul", slopes, writer.cast(rest, DOUBLE))
    last = writer.op("Add", dropped, writer.integers([geometry.sinks - 1]))
    queries = step.position_R1 if geometry.by_row else writer.reshape(step.past, [1, 1])
    from_last = writer.cast(writer.op("Sub", last, queries), DOUBLE)
    one = writer.constant(np.array(1.0))
    decay = writer.op(
        "Exp", writer.op("Mul", writer.op("Neg", slopes), writer.cast(dropped, DOUBLE))
    )
    total = writer.op(
        "Div", writer.op("Sub", one, decay), writer.constant(-np.expm1(-slopes_HG11[None]))
    )
    own = writer.op("Add", writer.op("Mul", slopes, from_last), writer.op("Log", total))
    return writer.cast(writer.concat([own, others], 4), FLOAT)
