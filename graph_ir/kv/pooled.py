"""Cached attention of heads that share their slots: as many chosen positions each as it needs.

The caches have the shape that they have without sharing, [1, H, S, width], but the first `keep`
slots of all heads are one pool: chosen entries of one head after those of the other, head `h` up to
`ends[h]`, whose bounds are known only when a prompt has been read. What comes after the prompt is
in each head's own slots behind that. All queries are multiplied with all slots, once, and see their
head's: H times the products of heads that do not share, on the same bytes.

Suffixes: H KV heads, G query heads of each, R rows, M = G R, S slots, P = H S, D and E widths.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from graph_ir.kv.entering import entered
from graph_ir.kv.group import GroupShape, Rows, Told
from graph_ir.kv.products import capped, product
from graph_ir.kv.stored import caches_of, in_order
from graph_ir.kv.writing import Writer


@dataclass(frozen=True, slots=True)
class PooledTold(Told):
    """See `graph_ir.kv.slots.Places`.

    Attributes:
        write: where ScatterND writes the rows, [1, H, R, 3].
        bias: [R, S], of what is filled.
        valid: rows that are not padding; None where there is one row.
    """

    write: ir.Value
    bias: ir.Value
    valid: ir.Value | None


def attend_pooled(
    writer: Writer,
    shape: GroupShape,
    rows: Rows,
    told: PooledTold,
    states: Sequence[ir.Value],
    *,
    fused: bool,
) -> tuple[ir.Value, list[ir.Value]]:
    """Attention of heads that share slots; see `graph_ir.kv.standard.attend`."""
    *caches, ends = states
    key, value = caches_of(shape, caches)
    fresh = (
        key.storage.rotated(writer, rows.key_BHRD),
        value.storage.rotated(writer, rows.value_BHRE),
    )
    key, value = (
        replace(
            cache, parts=entered(writer, cache.storage, cache.parts, new, told.write, told.valid)
        )
        for cache, new in zip((key, value), fresh, strict=True)
    )
    whole_key, whole_value = (cache.storage.decoded(writer, cache.parts) for cache in (key, value))
    heads, width = shape.heads, shape.attention.head_width
    queries = shape.queries * shape.rows
    query = key.storage.rotated(writer, rows.query_BHMD)
    query = writer.reshape(query, [1, 1, heads * queries, width])
    key_P = writer.reshape(whole_key, [1, 1, heads * shape.slots, width])
    value_P = writer.reshape(whole_value, [1, 1, heads * shape.slots, -1])
    logits = capped(writer, product(writer, query, key_P, fused=fused), shape.attention.softcap)
    apart = [heads, shape.queries, shape.rows, heads, shape.slots]
    logits = writer.reshape(logits, apart)
    own = _own_slots(writer, shape, ends)
    hidden = writer.number(-np.inf)
    filled = writer.reshape(told.bias, [shape.rows, 1, shape.slots])
    bias = writer.op("Where", own, filled, hidden)
    logits = writer.op("Add", logits, bias)
    logits = writer.reshape(logits, [1, 1, heads * queries, heads * shape.slots])
    weights = writer.op("Softmax", logits, attributes={"axis": -1})
    attended = writer.op("MatMul", weights, value_P)
    attended = writer.reshape(attended, [1, heads, queries, shape.attention.value_width])
    attended = value.storage.turned_back(writer, attended)
    return attended, [*in_order(key, value), writer.op("Identity", ends)]


def _own_slots(writer: Writer, shape: GroupShape, ends: ir.Value) -> ir.Value:
    """Which slots are a head's, [H, 1, 1, H, S]."""
    heads, keep, slots = shape.heads, shape.kept.keep, shape.slots
    end_H = writer.reshape(ends, [heads, 1, 1, 1, 1])
    first = writer.constant(np.zeros((1, 1, 1, 1, 1), np.int64))
    upper = [writer.integers([number]) for number in (0, heads - 1, 0)]
    begin_H = writer.concat([first, writer.op("Slice", end_H, *upper)], 0)
    lane_HS = np.broadcast_to(np.arange(heads)[:, None], (heads, slots))
    # Slots behind the pool count as none of it.
    place_HS = np.where(np.arange(slots) < keep, lane_HS * keep + np.arange(slots), -1)
    place = writer.constant(place_HS)
    chosen = writer.op("And", writer.at_least(place, begin_H), writer.op("Less", place, end_H))
    grown = (place_HS < 0) & (lane_HS == np.arange(heads)[:, None, None, None, None])
    return writer.op("Or", chosen, writer.constant(grown))
