"""Rotary position embedding as standard nodes.

Suffixes: R rows, H heads, W width of a head, F pairs of channels that are rotated.
"""

import onnx_ir as ir

from graph_ir.decoder.emit import Emitter
from graph_ir.errors import InputError


def rotate_flat(
    emitter: Emitter,
    flat: ir.Value,
    positions: ir.Value,
    tables: tuple[ir.Value, ir.Value],
    heads: int,
    width: int,
    interleaved: bool,
    where: str,
) -> ir.Value:
    """Rotates the heads of `[1, R, H * W]`.

    Args:
        emitter: of the graph.
        flat: what is rotated.
        positions: `[R]`.
        tables: cosines and sines `[longest, F]`.
        heads: H.
        width: W, at least 2 F; the channels from 2 F on stay.
        interleaved: whether neighbours are a pair, not the halves of what is rotated.
        where: for messages.

    Raises:
        InputError: a table that is none, or one for wider heads.
    """
    pairs = _pairs(tables[0])
    if not 0 < 2 * pairs <= width:
        raise InputError(
            f"{where}: rotation table {tables[0].name}: expected at most {width // 2} columns, got "
            f"{pairs}"
        )
    split_last = [ir.AttrInt64("axis", -1)]
    cos_R1F, sin_R1F = (
        emitter.op(
            "Unsqueeze",
            [
                emitter.op("Gather", [table, positions], [ir.AttrInt64("axis", 0)])[0],
                emitter.ints([1]),
            ],
        )[0]
        for table in tables
    )
    x_1RHW = emitter.reshape(flat, [1, -1, heads, width])
    rest: tuple[ir.Value, ...] = ()
    if 2 * pairs < width:
        sizes = emitter.ints([2 * pairs, width - 2 * pairs])
        x_1RHW, *others = emitter.op("Split", [x_1RHW, sizes], split_last, outputs=2)
        rest = tuple(others)
    if interleaved:
        x_1RHF2 = emitter.reshape(x_1RHW, [1, -1, heads, pairs, 2])
        halves = emitter.op("Split", [x_1RHF2, emitter.ints([1, 1])], split_last, outputs=2)
        first, second = (emitter.reshape(half, [1, -1, heads, pairs]) for half in halves)
    else:
        sizes = emitter.ints([pairs, pairs])
        first, second = emitter.op("Split", [x_1RHW, sizes], split_last, outputs=2)
    turned = (
        _combine(emitter, "Sub", (first, cos_R1F), (second, sin_R1F)),
        _combine(emitter, "Add", (second, cos_R1F), (first, sin_R1F)),
    )
    if interleaved:
        wide = [emitter.op("Unsqueeze", [part, emitter.ints([-1])])[0] for part in turned]
        both = emitter.op("Concat", wide, split_last)[0]
        joined: tuple[ir.Value, ...] = (emitter.reshape(both, [1, -1, heads, 2 * pairs]),)
    else:
        joined = turned
    if len(joined) + len(rest) > 1:
        joined = emitter.op("Concat", [*joined, *rest], split_last)
    return emitter.reshape(joined[0], [1, -1, heads * width])


def _combine(
    emitter: Emitter,
    kind: str,
    left: tuple[ir.Value, ir.Value],
    right: tuple[ir.Value, ir.Value],
) -> ir.Value:
    """Sum or difference of two products."""
    products = [emitter.op("Mul", list(pair))[0] for pair in (left, right)]
    return emitter.op(kind, products)[0]


def _pairs(table: ir.Value) -> int:
    shape = table.shape
    if table.const_value is not None:
        shape = ir.Shape([int(extent) for extent in table.const_value.shape.numpy()])
    extent = shape[-1] if shape is not None and len(shape) == 2 else 0
    return extent if isinstance(extent, int) else 0
