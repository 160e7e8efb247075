"""Cached attention that drops what was least often important (Scissorhands).

Liu et al., arXiv 2305.17118, section 4: what was important stays so. An entry is unimportant to a
query that gives it less than the mean weight; entries that were so most often make room for new
ones. Beside the caches a count for each slot says how often, one query ago counting `1 - 1/history`
of the latest, so that about the last `history` queries are remembered. A new entry begins with
`-recent`: it is not dropped before that many queries found it unimportant.

A single row takes the place of what is dropped before it attends, so that it is among the entries
that it attends to. The rows of a chunk attend to the caches as they were and to one another, are
counted, and then take the places of as many old entries. Empty slots are taken first, in order.
Of the query heads of a KV head the mean of their weights counts.

Suffixes: H KV heads, G query heads of each, R rows, M = G R, S slots, T slots and, for a chunk, the
rows behind them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from graph_ir.kv.entering import entered
from graph_ir.kv.group import GroupShape, Rows, Told
from graph_ir.kv.products import capped, product
from graph_ir.kv.slots import FLOAT, Step
from graph_ir.kv.stored import caches_of, in_order
from graph_ir.kv.writing import Writer

# Above any count, less for later slots; a slot that is filled has none of it.
_EMPTY, _FILLED = 1e6, -1e9


@dataclass(frozen=True, slots=True)
class ScoredTold(Told):
    """What is told to all groups with as many slots.

    Attributes:
        empty: [S, 1], what an empty slot counts at least.
        seen: bool [R, T], what rows attend to.
        bias: [R, T], 0 there and -inf elsewhere.
        mean: [R, 1], the mean weight of what each row attends to.
        fade: [1, 1], what a count from before the step is worth.
        worth: [1, R], what is added for each row; 0 for padding.
        begin: [R, 1], counts with which rows begin, as they are after the step; None where there
            is one row.
        valid: [R, 1], rows that are not padding; None where there is one row.
    """

    empty: ir.Value
    seen: ir.Value
    bias: ir.Value
    mean: ir.Value
    fade: ir.Value
    worth: ir.Value
    begin: ir.Value | None
    valid: ir.Value | None


def scored_told(step: Step, slots: int, history: int, recent: int) -> ScoredTold:
    """Writes what groups are told.

    Args:
        step: whose positions they are.
        slots: of the caches.
        history: queries that are remembered.
        recent: queries that have to find an entry unimportant before it may be dropped.
    """
    writer, rows = step.writer, step.rows
    slot_S1 = writer.constant(np.arange(slots)[:, None])
    rank_S1 = writer.constant((_EMPTY - np.arange(slots, dtype=np.float32))[:, None])
    is_filled = writer.op("Less", slot_S1, step.past)
    empty = writer.op("Where", is_filled, writer.number(_FILLED), rank_S1)
    filled = writer.op("Min", step.past, writer.integers([slots]))
    if rows == 1:
        attended = writer.op("Min", step.end(), writer.integers([slots]))
        seen = writer.op("Less", writer.constant(np.arange(slots)[None]), attended)
        attended = writer.reshape(attended, [1, 1])
    else:
        old = writer.op("Less", writer.constant(np.arange(slots)[None]), filled)
        old = writer.op("Expand", old, writer.integers([rows, slots]))
        causal_RR = np.tri(rows, dtype=np.bool_)
        seen = writer.concat([old, writer.constant(causal_RR)], 1)
        attended = writer.op("Add", filled, writer.constant(np.arange(1, rows + 1)[:, None]))
    decay = float(np.log1p(-1.0 / history))
    # Queries from each row to the end of the step.
    after_1R = writer.constant(np.zeros((1, 1), np.int64))
    if step.count is not None:
        last = writer.op("Sub", step.count, writer.integers([1]))
        after_1R = writer.op("Sub", last, writer.constant(np.arange(rows)[None]))
    worth = _power(writer, decay, after_1R)
    one = writer.integers([1])
    begin = None
    if step.valid_R1 is not None:
        begin = _power(writer, decay, writer.op("Add", after_1R, one))
        begin = writer.op("Mul", begin, writer.number(-recent))
        begin = writer.op("Transpose", begin, attributes={"perm": [1, 0]})
        valid_1R = writer.op("Transpose", step.valid_R1, attributes={"perm": [1, 0]})
        worth = writer.op("Where", valid_1R, worth, writer.number(0.0))
    count = step.count if step.count is not None else one
    return ScoredTold(
        empty=empty,
        seen=seen,
        bias=writer.op("Where", seen, writer.number(0.0), writer.number(-np.inf)),
        mean=writer.op("Div", writer.number(1.0), writer.cast(attended, FLOAT)),
        fade=_power(writer, decay, writer.reshape(count, [1, 1])),
        worth=worth,
        begin=begin,
        valid=step.valid_R1,
    )


def _power(writer: Writer, decay: float, exponent: ir.Value) -> ir.Value:
    """`exp(decay * exponent)`."""
    scaled = writer.op("Mul", writer.cast(exponent, FLOAT), writer.number(decay))
    return writer.op("Exp", scaled)


def attend_scored(
    writer: Writer,
    shape: GroupShape,
    rows: Rows,
    told: ScoredTold,
    states: Sequence[ir.Value],
    *,
    fused: bool,
) -> tuple[ir.Value, list[ir.Value]]:
    """Attention of heads that drop by importance; see `graph_ir.kv.standard.attend`."""
    *caches, count = states
    key, value = caches_of(shape, caches)
    query = key.storage.rotated(writer, rows.query_BHMD)
    fresh = (
        key.storage.rotated(writer, rows.key_BHRD),
        value.storage.rotated(writer, rows.value_BHRE),
    )
    write = None
    if shape.rows == 1:
        write = _dropped(writer, shape, count, told)
        key, value = (
            replace(cache, parts=entered(writer, cache.storage, cache.parts, new, write, None))
            for cache, new in zip((key, value), fresh, strict=True)
        )
    whole = [cache.storage.decoded(writer, cache.parts) for cache in (key, value)]
    if shape.rows > 1:
        whole = [writer.concat([old, new], 2) for old, new in zip(whole, fresh, strict=True)]
    logits = capped(writer, product(writer, query, whole[0], fused=fused), shape.attention.softcap)
    extents = [1, shape.heads, shape.queries, shape.rows, -1]
    logits = writer.op("Add", writer.reshape(logits, extents), told.bias)
    weights = writer.op("Softmax", logits, attributes={"axis": -1})
    low_1HT1 = _unimportant(writer, shape, weights, told)
    weights = writer.reshape(weights, [1, shape.heads, shape.queries * shape.rows, -1])
    attended = value.storage.turned_back(writer, writer.op("MatMul", weights, whole[1]))
    if write is not None:
        begin = writer.constant(np.full((1, shape.heads, 1, 1), -shape.kept.recent, np.float32))
        count = writer.op("ScatterND", count, write, begin)
        count = writer.op("Add", writer.op("Mul", count, told.fade), low_1HT1)
        return attended, [*in_order(key, value), count]
    own, new = (
        _cut(writer, low_1HT1, begin, end)
        for begin, end in ((0, shape.slots), (shape.slots, shape.slots + shape.rows))
    )
    count = writer.op("Add", writer.op("Mul", count, told.fade), own)
    write = _dropped(writer, shape, count, told)
    assert told.begin is not None
    begun = writer.op("Add", told.begin, new)
    if told.valid is not None:
        begun = writer.op("Where", told.valid, begun, writer.op("GatherND", count, write))
    count = writer.op("ScatterND", count, write, begun)
    # Taken from what is attended to, the rows are written after all old entries were read.
    fresh_again = [_cut(writer, part, shape.slots, shape.slots + shape.rows) for part in whole]
    key, value = (
        replace(cache, parts=entered(writer, cache.storage, cache.parts, new, write, told.valid))
        for cache, new in zip((key, value), fresh_again, strict=True)
    )
    return attended, [*in_order(key, value), count]


def _dropped(writer: Writer, shape: GroupShape, count: ir.Value, told: ScoredTold) -> ir.Value:
    """Where ScatterND writes the rows, [1, H, R, 3]: over what was unimportant most often."""
    ranked = writer.op("Max", count, told.empty)
    options = {"axis": 2, "largest": 1, "sorted": 1}
    _, slots = writer.many("TopK", [ranked, writer.integers([shape.rows])], 2, options)
    fixed = np.zeros((1, shape.heads, shape.rows, 2), np.int64)
    fixed[..., 1] = np.arange(shape.heads)[:, None]
    return writer.concat([writer.constant(fixed), slots], 3)


def _unimportant(
    writer: Writer, shape: GroupShape, weights: ir.Value, told: ScoredTold
) -> ir.Value:
    """What is added to the counts of all that is attended to, [1, H, T, 1]."""
    weights = writer.reduce("ReduceMean", weights, 2)
    weights = writer.reshape(weights, [1, shape.heads, shape.rows, -1])
    is_low = writer.op("And", writer.op("Less", weights, told.mean), told.seen)
    added = writer.op("MatMul", told.worth, writer.cast(is_low, FLOAT))
    return writer.reshape(added, [1, shape.heads, -1, 1])


def _cut(writer: Writer, value: ir.Value, begin: int, end: int) -> ir.Value:
    return writer.op("Slice", value, *(writer.integers([number]) for number in (begin, end, 2)))
