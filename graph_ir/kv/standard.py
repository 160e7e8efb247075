"""Cached attention by standard operators: what any runtime executes.

Suffixes: B batch of 1, H KV heads of the group, G query heads of each KV head, R rows, S slots, T
slots and, in a chunk, the rows behind them, N entries written, D head width, E value width.
"""

import numpy as np
import onnx_ir as ir

from graph_ir.kv.group import GroupInputs, GroupShape
from graph_ir.kv.writing import Writer


def attend(
    writer: Writer,
    shape: GroupShape,
    query_BHMD: ir.Value,
    rows: tuple[ir.Value, ir.Value],
    sinks_BHM1: ir.Value | None,
    inputs: GroupInputs,
) -> tuple[ir.Value, tuple[ir.Value, ...]]:
    """Writes one group's attention, and what its caches become.

    Args:
        writer: where nodes go.
        shape: of the group.
        query_BHMD: scaled; M = G R, query heads outside, rows inside.
        rows: keys [1, H, R, D] and values [1, H, R, E] of the new positions.
        sinks_BHM1: logits of learned sinks.
        inputs: of the group.

    Returns:
        What the rows attended to, [1, H, M, E], and the next states.
    """
    both = [
        _extended(writer, shape, state, new, inputs)
        for state, new in zip(inputs.states, rows, strict=True)
    ]
    (key_BHTD, next_key), (value_BHTE, next_value) = both
    turned = writer.op("Transpose", key_BHTD, attributes={"perm": [0, 1, 3, 2]})
    logits = writer.op("MatMul", query_BHMD, turned)
    weights = _weights(writer, shape, logits, sinks_BHM1, inputs)
    return writer.op("MatMul", weights, value_BHTE), (next_key, next_value)


def _extended(
    writer: Writer, shape: GroupShape, state: ir.Value, new: ir.Value, inputs: GroupInputs
) -> tuple[ir.Value, ir.Value]:
    """What is attended to, and the next state.

    Everything that reads the old state comes before the node that writes the new one, by the order
    of data: both may be the same memory.
    """
    chunk = shape.rows > 1
    attended = state
    if chunk and shape.kept.window:
        attended = writer.concat([state, new], 2)
    if inputs.read is None:
        updates = new
    else:
        old = writer.gather(attended, inputs.read, 2)
        updates = _updates(writer, old, new, inputs)
    after = writer.op("ScatterND", state, inputs.write, updates)
    return (attended if chunk and shape.kept.window else after), after


def _updates(writer: Writer, old: ir.Value, new: ir.Value, inputs: GroupInputs) -> ir.Value:
    """The entries that are written: the new means, and the new rows that are not padding."""
    means = None
    if inputs.fold is not None:
        means = writer.op("MatMul", inputs.fold, old)
    if inputs.valid is not None:
        kept = old
        if means is not None:
            bounds = (writer.integers([number]) for number in (1, np.iinfo(np.int64).max, 2))
            kept = writer.op("Slice", old, *bounds)
        new = writer.op("Where", inputs.valid, new, kept)
    return new if means is None else writer.concat([means, new], 2)


def _weights(
    writer: Writer,
    shape: GroupShape,
    logits_BHMT: ir.Value,
    sinks_BHM1: ir.Value | None,
    inputs: GroupInputs,
) -> ir.Value:
    """Softmax of the capped and masked logits."""
    if shape.attention.softcap:
        cap = writer.number(shape.attention.softcap)
        logits_BHMT = writer.op("Mul", writer.op("Tanh", writer.op("Div", logits_BHMT, cap)), cap)
    # The bias is the same for all query heads of a row.
    apart = inputs.alibi is not None or (shape.rows > 1 and shape.queries > 1)
    joined = [1, shape.heads, shape.queries * shape.rows, -1]
    if apart:
        extents = [1, shape.heads, shape.queries, shape.rows, -1]
        logits_BHMT = writer.reshape(logits_BHMT, extents)
    logits_BHMT = writer.op("Add", logits_BHMT, inputs.bias)
    if inputs.alibi is not None:
        logits_BHMT = writer.op("Add", logits_BHMT, inputs.alibi)
    if apart:
        logits_BHMT = writer.reshape(logits_BHMT, joined)
    if sinks_BHM1 is None:
        return writer.op("Softmax", logits_BHMT, attributes={"axis": -1})
    logits_BHMT = writer.concat([logits_BHMT, sinks_BHM1], 3)
    weights = writer.op("Softmax", logits_BHMT, attributes={"axis": -1})
    return writer.op("Slice", weights, *(writer.integers([n]) for n in (0, -1, 3)))
