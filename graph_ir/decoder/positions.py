"""Replaces whatever a graph computes its tokens' positions from by the input `positions`.

Exporters count positions in many ways: from the extent of a cache, as a running sum over the
attention mask, as an input. Instead of knowing them all, the values that depend on no token are
computed for calls of several sizes, and what equals `past + 0 .. past + rows - 1` in all of them
is the positions, what equals a number of rows is that, what equals rows of a constant table at
these positions is a lookup.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graph_ir.compression.method import Runner
from graph_ir.decoder.emit import Emitter
from graph_ir.decoder.sites import depends_on_tokens
from graph_ir.decoder.source import Array, Call
from graph_ir.onnx_values import is_constant, op_key, value_name

# Elements of a vector that may be a shape.
_LONGEST_SHAPE = 8


@dataclass(frozen=True, slots=True)
class Observed:
    """Values of a graph in calls of different sizes.

    Attributes:
        calls: the sizes.
        arrays: by name of the value, one for each call.
    """

    calls: tuple[Call, ...]
    arrays: dict[str, tuple[Array, ...]]


def replace_positions(
    model: ir.Model,
    tokens: ir.Value,
    positions: ir.Value,
    calls: Sequence[Call],
    feeds: Callable[[Call], dict[str, Array]],
    runner: Runner,
) -> None:
    """Rewires a graph, in place; what is unused afterwards stays in it.

    Args:
        model: whose attentions are in normal form.
        tokens: the input with the tokens, `[1, rows]`.
        positions: the input with the positions, `[rows]`.
        calls: at least three, of different sizes.
        feeds: the inputs of a call.
        runner: executes the nodes that depend on no token.
    """
    graph = model.graph
    told = [value for value in graph.inputs if value is not tokens and value is not positions]
    settled = _without_tokens(graph, tokens, told)
    if not settled and not told:
        return
    observed = _observe(model, [*told, *settled], calls, feeds, runner)
    rows = RowCount(graph, tokens)
    first = next(iter(graph))
    names = Emitter(graph, "positions")
    one_row = all(call.rows == 1 for call in calls)
    replaced: set[ir.Value] = set()
    for value in [*told, *settled]:
        arrays = observed.arrays.get(value_name(value))
        if arrays is None or not value.uses():
            continue
        node = value.producer()
        if one_row and node is not None and any(v in replaced for v in node.inputs):
            # With one row nothing tells which of its axes is that of the rows: the graph does.
            replaced.update(node.outputs)
            continue
        place = _after(value, first)
        emitter = names.at(value_name(value), place)
        new = _as_positions(emitter, observed.calls, arrays, positions)
        if new is None:
            new = _as_rows(emitter, observed.calls, arrays, rows)
        if new is None:
            new = _as_lookup(emitter, observed.calls, arrays, value, positions)
        if new is not None:
            value.replace_all_uses_with(new, replace_graph_outputs=False)
            replaced.add(new)
    graph.sort()


def _after(value: ir.Value, first: ir.Node) -> ir.Node:
    """A node before which a replacement may stand; the graph is sorted afterwards."""
    producer = value.producer()
    return producer if producer is not None else first


def _without_tokens(graph: ir.Graph, tokens: ir.Value, told: Sequence[ir.Value]) -> list[ir.Value]:
    """Values that are computed from extents, masks and positions alone, and from some of these."""
    moving = depends_on_tokens(graph, [tokens])
    clean: set[ir.Value] = set(graph.inputs)
    # Of the tokens only their number is read here; without caches positions follow from it alone.
    dependent = {tokens, *told}
    found: list[ir.Value] = []
    for node in graph:
        inputs = [value for value in node.inputs if value is not None]
        reads_extent = op_key(node) in ("Shape", "Size")
        usable = all(
            is_constant(value) or (value in clean and (reads_extent or value not in moving))
            for value in inputs
        )
        if not usable or any(output in moving for output in node.outputs):
            continue
        clean.update(node.outputs)
        if any(value in dependent for value in inputs):
            dependent.update(node.outputs)
            found.extend(output for output in node.outputs if output.name)
    return found


def _observe(
    model: ir.Model,
    values: Sequence[ir.Value],
    calls: Sequence[Call],
    feeds: Callable[[Call], dict[str, Array]],
    runner: Runner,
) -> Observed:
    computed = [value_name(value) for value in values if value.producer() is not None]
    execute = runner.open(model, computed) if computed else None
    arrays: dict[str, list[Array]] = {}
    for call in calls:
        given = feeds(call)
        results = dict(given)
        if execute is not None:
            results.update(execute(given))
        for value in values:
            arrays.setdefault(value_name(value), []).append(results[value_name(value)])
    return Observed(tuple(calls), {name: tuple(parts) for name, parts in arrays.items()})


def _row_axis(array: Array) -> int:
    """The one axis that is not 1; the last where all are."""
    return next((at for at, extent in enumerate(array.shape) if extent != 1), array.ndim - 1)


def _as_positions(
    emitter: Emitter, calls: Sequence[Call], arrays: Sequence[Array], positions: ir.Value
) -> ir.Value | None:
    for call, array in zip(calls, arrays, strict=True):
        if array.ndim == 0 or array.dtype.kind not in "iuf":
            return None
        if array.size != call.rows or array.shape[_row_axis(array)] != call.rows:
            return None
        if not np.array_equal(array.reshape(-1), np.arange(call.past, call.total)):
            return None
    value = positions
    if arrays[0].ndim > 1:
        shape = [1] * arrays[0].ndim
        shape[_row_axis(arrays[0])] = -1
        value = emitter.reshape(value, shape)
    if arrays[0].dtype != np.int64:
        value = emitter.cast(value, ir.DataType.from_numpy(arrays[0].dtype))
    return value


class RowCount:
    """The number of rows as a value `[1]`, made once.

    Args:
        graph: changed in place.
        tokens: its input `[1, rows]`.
    """

    def __init__(self, graph: ir.Graph, tokens: ir.Value) -> None:
        self._graph = graph
        self._tokens = tokens
        self._value: ir.Value | None = None

    def value(self) -> ir.Value:
        """`[1]` int64."""
        if self._value is None:
            emitter = Emitter(self._graph, "rows", next(iter(self._graph)))
            (shape,) = emitter.op("Shape", [self._tokens])
            self._value = emitter.op(
                "Gather", [shape, emitter.ints([1], "axis")], [ir.AttrInt64("axis", 0)]
            )[0]
        return self._value


def _as_rows(
    emitter: Emitter, calls: Sequence[Call], arrays: Sequence[Array], rows: RowCount
) -> ir.Value | None:
    """A shape or a number in which only the number of rows varies."""
    if arrays[0].dtype.kind != "i" or arrays[0].ndim > 1 or arrays[0].size > _LONGEST_SHAPE:
        return None
    if len({array.shape for array in arrays}) != 1 or len({call.rows for call in calls}) < 2:
        return None
    table = np.stack([array.reshape(-1) for array in arrays])
    counts = np.array([call.rows for call in calls])
    parts: list[int | None] = []
    for column in table.T:
        if (column == column[0]).all():
            parts.append(int(column[0]))
        elif (column == counts).all():
            parts.append(None)
        else:
            return None
    return emit_shape(emitter, parts, rows, arrays[0])


def emit_shape(
    emitter: Emitter, parts: Sequence[int | None], rows: RowCount, like: Array
) -> ir.Value:
    """A vector or number of integers.

    Args:
        emitter: of the graph.
        parts: its elements, None for the number of rows.
        rows: the number of rows.
        like: an array of its rank and type.
    """
    if None not in parts:
        return emitter.constant(np.array(parts).reshape(like.shape).astype(like.dtype), "extent")
    pieces = [rows.value() if part is None else emitter.ints([part], "extent") for part in parts]
    value = pieces[0]
    if len(pieces) > 1:
        value = emitter.op("Concat", pieces, [ir.AttrInt64("axis", 0)])[0]
    if like.ndim == 0:
        value = emitter.op("Squeeze", [value, emitter.ints([0], "axis")])[0]
    if like.dtype != np.int64:
        value = emitter.cast(value, ir.DataType.from_numpy(like.dtype))
    return value


def _as_lookup(
    emitter: Emitter,
    calls: Sequence[Call],
    arrays: Sequence[Array],
    value: ir.Value,
    positions: ir.Value,
) -> ir.Value | None:
    """Rows of a constant table: those of the positions, or all up to the last of them."""
    node = value.producer()
    if node is None or op_key(node) not in ("Slice", "Gather"):
        return None
    table = node.inputs[0]
    tensor = None if table is None else ir.convenience.get_const_tensor(table)
    if table is None or tensor is None:
        return None
    content = tensor.numpy()
    for axis in range(content.ndim):
        if all(
            call.total <= content.shape[axis]
            and np.array_equal(array, content.take(range(call.past, call.total), axis))
            for call, array in zip(calls, arrays, strict=True)
        ):
            return emitter.op("Gather", [table, positions], [ir.AttrInt64("axis", axis)])[0]
        if all(
            call.total <= content.shape[axis]
            and np.array_equal(array, content.take(range(call.total), axis))
            for call, array in zip(calls, arrays, strict=True)
        ) and all(_is_lookup(use.node, use.idx, axis, content.ndim) for use in value.uses()):
            return table
    return None


def _is_lookup(node: ir.Node, operand: int, axis: int, rank: int) -> bool:
    if op_key(node) != "Gather" or operand != 0:
        return False
    return node.attributes.get_int("axis", 0) % rank == axis
