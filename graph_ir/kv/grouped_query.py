"""Cached attention by onnxruntime's GroupQueryAttention.

It reads the filled part of a cache alone, where the standard form reads all of it. It writes the
new rows behind what is filled, in the memory of the cache where the state after is bound to that of
the state before; so it serves groups that keep everything. For a chunk beside the caches of a
windowed group it writes a copy, of which the new rows are then put where they belong.

Suffixes: as in `graph_ir.kv.standard`; P = S + R.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.kv.group import GroupShape, Rows, Told
from graph_ir.kv.slots import FLOAT, Places, Step
from graph_ir.kv.standard import updated
from graph_ir.kv.writing import Writer

INT32 = ir.DataType.INT32


@dataclass(frozen=True, slots=True)
class FullTold(Told):
    """Of a group that keeps everything.

    Attributes:
        last: int32 [1], index of the last entry that is attended to.
        total: int32 scalar, number of entries.
        bias: ALiBi [1, H G, 1, S], or None.
        read: slots of the rows; None for one row, as those below.
        roll: row of the step in each row of the operator.
        unroll: row of the operator in each row of the step.
        valid: [R, 1], rows of the operator that are not padding.
    """

    last: ir.Value
    total: ir.Value
    bias: ir.Value | None
    read: ir.Value | None
    roll: ir.Value | None
    unroll: ir.Value | None
    valid: ir.Value | None


def full_told(step: Step, slots: int, alibi: ir.Value | None) -> FullTold:
    """Writes what a group that keeps everything is told.

    The rows of a chunk are the last of what is attended to. Where padding would come to lie behind
    the end of the context the rows are rolled: padding gets the places before the valid rows, and
    writes what is there already.

    Args:
        step: whose positions they are.
        slots: of the caches.
        alibi: `Places.alibi`.
    """
    writer = step.writer
    one = writer.integers([1])
    if step.rows == 1:
        bias = None
        if alibi is not None:
            bias = writer.reshape(alibi, [1, -1, 1, slots])
            total = writer.constant(_int32(slots))
        else:
            total = _scalar(writer, writer.op("Add", step.past, one))
        return FullTold(writer.cast(step.past, INT32), total, bias, None, None, None, None)
    rows = writer.integers([step.rows])
    end = writer.op("Min", writer.op("Add", step.past, rows), writer.integers([slots]))
    row_R = writer.integers(range(step.rows))
    read_R = writer.op("Add", writer.op("Sub", end, rows), row_R)
    shift = writer.op("Sub", step.past, writer.op("Sub", end, rows))
    from_R = writer.op("Sub", row_R, shift)
    assert step.count is not None
    valid_R = writer.op(
        "And",
        writer.at_least(from_R, writer.integers([0])),
        writer.op("Less", from_R, step.count),
    )
    return FullTold(
        last=writer.cast(writer.op("Sub", end, one), INT32),
        total=_scalar(writer, end),
        bias=None,
        read=read_R,
        roll=writer.op("Mod", from_R, rows),
        unroll=writer.op("Mod", writer.op("Add", row_R, shift), rows),
        valid=writer.op("Unsqueeze", valid_R, one),
    )


def attend_full(
    writer: Writer, shape: GroupShape, rows: Rows, told: FullTold, states: Sequence[ir.Value]
) -> tuple[ir.Value, list[ir.Value]]:
    """Attention of a group that keeps everything; see `graph_ir.kv.standard.attend`."""
    query, new = _rows_first(writer, shape, rows.query_BHMD), [rows.key_BHRD, rows.value_BHRE]
    if told.read is not None and told.roll is not None and told.valid is not None:
        query = writer.gather(query, told.roll, 1)
        new = [
            writer.op(
                "Where",
                told.valid,
                writer.gather(rows_, told.roll, 2),
                writer.gather(state, told.read, 2),
            )
            for rows_, state in zip(new, states, strict=True)
        ]
    attended, after = _grouped_query(
        writer, shape, query, new, states, told.last, told.total, told.bias, rows.sinks
    )
    if told.unroll is not None:
        attended = writer.gather(attended, told.unroll, 1)
    return _heads_first(writer, shape, attended), after


@dataclass(frozen=True, slots=True)
class ChunkTold(Told):
    """Of a chunk beside the caches of a windowed group.

    Attributes:
        read: slots of the entries that are written, the compensation's first.
        write: where ScatterND writes them.
        fold: weights of the new means, or None.
        valid: rows that are not padding.
        bias: [1, 1, R, P] for the compensation slot, or None.
        last: int32 [1], index of the last entry that is attended to.
        total: int32 scalar, P.
        fresh: where the new rows are among the entries.
    """

    read: ir.Value
    write: ir.Value
    fold: ir.Value | None
    valid: ir.Value
    bias: ir.Value | None
    last: ir.Value
    total: ir.Value
    fresh: ir.Value


def chunk_told(step: Step, places: Places, write: ir.Value, slots: int) -> ChunkTold:
    """Writes what a windowed group is told of a chunk.

    Until the ring is full its entries are in the order of their positions, those filled first.

    Args:
        step: whose positions they are.
        places: of the group.
        write: where entries are written.
        slots: of the caches.
    """
    writer = step.writer
    assert places.valid_R1 is not None
    rows = writer.integers([step.rows])
    bias = None
    filled = step.past
    if places.fold_1N is not None and places.before is not None:
        filled = writer.op("Add", filled, writer.integers([1]))
        logarithm = writer.op("Log", writer.cast(places.before, FLOAT))
        logarithm = writer.op("Expand", logarithm, writer.integers([1, 1, step.rows, 1]))
        rest = np.zeros((1, 1, step.rows, slots + step.rows - 1), np.float32)
        bias = writer.concat([logarithm, writer.constant(rest)], 3)
    filled = writer.op("Min", filled, writer.integers([slots]))
    last = writer.op("Add", filled, writer.op("Sub", rows, writer.integers([1])))
    return ChunkTold(
        read=places.entries_N,
        write=write,
        fold=places.fold_1N,
        valid=places.valid_R1,
        bias=bias,
        last=writer.cast(last, INT32),
        total=writer.constant(_int32(slots + step.rows)),
        fresh=writer.op("Add", filled, writer.integers(range(step.rows))),
    )


def attend_chunk(
    writer: Writer, shape: GroupShape, rows: Rows, told: ChunkTold, states: Sequence[ir.Value]
) -> tuple[ir.Value, list[ir.Value]]:
    """Attention of a chunk to a windowed group; see `graph_ir.kv.standard.attend`."""
    query, new = _rows_first(writer, shape, rows.query_BHMD), (rows.key_BHRD, rows.value_BHRE)
    attended, copies = _grouped_query(
        writer, shape, query, new, states, told.last, told.total, told.bias, rows.sinks
    )
    after = []
    for state, copy in zip(states, copies, strict=True):
        # Read out of the copy, the rows are written after the old states were attended to.
        fresh = writer.gather(copy, told.fresh, 2)
        old = writer.gather(state, told.read, 2)
        updates = updated(writer, old, fresh, told.fold, told.valid)
        after.append(writer.op("ScatterND", state, told.write, updates))
    return _heads_first(writer, shape, attended), after


def _grouped_query(
    writer: Writer,
    shape: GroupShape,
    query: ir.Value,
    new: Sequence[ir.Value],
    states: Sequence[ir.Value],
    last: ir.Value,
    total: ir.Value,
    bias: ir.Value | None,
    sinks: ir.Value | None,
) -> tuple[ir.Value, list[ir.Value]]:
    """The operator: rows [1, R, H G D], and what it made of the caches."""
    rows = [_flat(writer, shape, value) for value in new]
    inputs = [query, *rows, *states, last, total, None, None, None, bias, sinks]
    while inputs[-1] is None:
        inputs.pop()
    attributes: dict[str, int | float] = {
        "num_heads": shape.heads * shape.queries,
        "kv_num_heads": shape.heads,
        "scale": 1.0,
        "softcap": shape.attention.softcap,
        "local_window_size": shape.attention.window or -1,
    }
    attended, *after = writer.many("GroupQueryAttention", inputs, 3, attributes, "com.microsoft")
    return attended, after


def _rows_first(writer: Writer, shape: GroupShape, query_BHMD: ir.Value) -> ir.Value:
    """Queries as [1, R, H G D]."""
    width, heads = shape.attention.head_width, shape.heads * shape.queries
    if shape.rows > 1:
        query = writer.reshape(query_BHMD, [1, heads, shape.rows, width])
        query_BHMD = writer.op("Transpose", query, attributes={"perm": [0, 2, 1, 3]})
    return writer.reshape(query_BHMD, [1, shape.rows, heads * width])


def _heads_first(writer: Writer, shape: GroupShape, rows: ir.Value) -> ir.Value:
    """What rows attended to as [1, H, M, E]."""
    width, heads = shape.attention.value_width, shape.heads * shape.queries
    if shape.rows > 1:
        rows = writer.reshape(rows, [1, shape.rows, heads, width])
        rows = writer.op("Transpose", rows, attributes={"perm": [0, 2, 1, 3]})
    return writer.reshape(rows, [1, shape.heads, shape.queries * shape.rows, width])


def _flat(writer: Writer, shape: GroupShape, value_BHRD: ir.Value) -> ir.Value:
    """Keys or values as [1, R, H D]."""
    if shape.rows > 1:
        value_BHRD = writer.op("Transpose", value_BHRD, attributes={"perm": [0, 2, 1, 3]})
    return writer.reshape(value_BHRD, [1, shape.rows, shape.heads * shape.attention.head_width])


def _scalar(writer: Writer, value: ir.Value) -> ir.Value:
    return writer.cast(writer.op("Squeeze", value, writer.integers([0])), INT32)


def _int32(number: int) -> NDArray[np.int32]:
    return np.array(number, np.int32)
