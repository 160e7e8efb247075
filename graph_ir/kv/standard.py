"""Cached attention by standard operators: what any runtime executes.

Suffixes: B batch of 1, H KV heads of the group, G query heads of each KV head, R rows, M = G R, S
slots, T slots and, in a chunk, the rows behind them, N entries written, D head width, E value
width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graph_ir.kv.group import GroupShape, Rows, Told
from graph_ir.kv.writing import Writer


@dataclass(frozen=True, slots=True)
class StandardTold(Told):
    """See `graph_ir.kv.slots.Places`.

    Attributes:
        read: slots of the entries that are written, the compensation's first; None where nothing
            is read before it is written.
        write: where ScatterND writes them.
        bias: of the logits.
        fold: weights of the new means.
        valid: rows that are not padding.
        alibi: of the logits.
    """

    read: ir.Value | None
    write: ir.Value
    bias: ir.Value
    fold: ir.Value | None
    valid: ir.Value | None
    alibi: ir.Value | None


def attend(
    writer: Writer,
    shape: GroupShape,
    rows: Rows,
    told: StandardTold,
    states: Sequence[ir.Value],
    *,
    fused: bool,
) -> tuple[ir.Value, list[ir.Value]]:
    """Writes one group's attention, and what its caches become.

    Args:
        writer: where nodes go.
        shape: of the group.
        rows: new positions.
        told: places and masks.
        states: of the group.
        fused: whether onnxruntime's product with a transposed factor may be used.

    Returns:
        What the rows attended to, [1, H, M, E], and the next states.
    """
    key_BHTD, next_key = _extended(writer, shape, states[0], rows.key_BHRD, told)
    value_BHTE, next_value = _extended(writer, shape, states[1], rows.value_BHRE, told)
    attended = attend_to(
        writer, shape, rows.query_BHMD, (key_BHTD, value_BHTE), rows.sinks, told, fused=fused
    )
    return attended, [next_key, next_value]


def attend_to(
    writer: Writer,
    shape: GroupShape,
    query_BHMD: ir.Value,
    entries: tuple[ir.Value, ir.Value],
    sinks: ir.Value | None,
    told: StandardTold,
    *,
    fused: bool,
) -> ir.Value:
    """Attention to keys [1, H, T, D] and values [1, H, T, E]; what `attend` returns first."""
    key_BHTD, value_BHTE = entries
    if fused:
        factors, transposed = (query_BHMD, key_BHTD), {"transB": 1}
        (logits,) = writer.many("FusedMatMul", factors, 1, transposed, "com.microsoft")
    else:
        turned = writer.op("Transpose", key_BHTD, attributes={"perm": [0, 1, 3, 2]})
        logits = writer.op("MatMul", query_BHMD, turned)
    weights = _weights(writer, shape, logits, sinks, told)
    return writer.op("MatMul", weights, value_BHTE)


def _extended(
    writer: Writer, shape: GroupShape, state: ir.Value, new: ir.Value, told: StandardTold
) -> tuple[ir.Value, ir.Value]:
    """What is attended to, and the next state.

    Everything that reads the old state comes before the node that writes the new one, by the order
    of data: both may be the same memory.
    """
    beside = shape.rows > 1 and shape.kept.window > 0
    attended = writer.concat([state, new], 2) if beside else state
    updates = new
    if told.read is not None:
        updates = updated(writer, writer.gather(attended, told.read, 2), new, told.fold, told.valid)
    after = writer.op("ScatterND", state, told.write, updates)
    return (attended if beside else after), after


def updated(
    writer: Writer, old: ir.Value, new: ir.Value, fold: ir.Value | None, valid: ir.Value | None
) -> ir.Value:
    """The entries that are written: the new means, and the new rows that are not padding."""
    means = None
    if fold is not None:
        means = writer.op("MatMul", fold, old)
    if valid is not None:
        kept = old
        if means is not None:
            bounds = (writer.integers([number]) for number in (1, np.iinfo(np.int64).max, 2))
            kept = writer.op("Slice", old, *bounds)
        new = writer.op("Where", valid, new, kept)
    return new if means is None else writer.concat([means, new], 2)


def _weights(
    writer: Writer,
    shape: GroupShape,
    logits_BHMT: ir.Value,
    sinks: ir.Value | None,
    told: StandardTold,
) -> ir.Value:
    """Softmax of the capped and masked logits."""
    if shape.attention.softcap:
        cap = writer.number(shape.attention.softcap)
        logits_BHMT = writer.op("Mul", writer.op("Tanh", writer.op("Div", logits_BHMT, cap)), cap)
    # The bias is the same for all query heads of a row.
    apart = told.alibi is not None or (shape.rows > 1 and shape.queries > 1)
    joined = [1, shape.heads, shape.queries * shape.rows]
    if apart:
        extents = [1, shape.heads, shape.queries, shape.rows, -1]
        logits_BHMT = writer.reshape(logits_BHMT, extents)
    logits_BHMT = writer.op("Add", logits_BHMT, told.bias)
    if told.alibi is not None:
        logits_BHMT = writer.op("Add", logits_BHMT, told.alibi)
    if apart:
        logits_BHMT = writer.reshape(logits_BHMT, [*joined, -1])
    if sinks is None:
        return writer.op("Softmax", logits_BHMT, attributes={"axis": -1})
    if shape.rows > 1:
        column = writer.reshape(sinks, [shape.heads * shape.queries, 1])
        sinks = writer.op("Expand", column, writer.integers([1, shape.rows]))
    logits_BHMT = writer.concat([logits_BHMT, writer.reshape(sinks, [*joined, 1])], 3)
    weights = writer.op("Softmax", logits_BHMT, attributes={"axis": -1})
    return writer.op("Slice", weights, *(writer.integers([n]) for n in (0, -1, 3)))
