"""Says the extents of activations in numbers and numbers of rows, so that nothing else needs them.

`Shape` of an activation would otherwise tie masks and positions to everything before them.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graph_ir.decoder.emit import Emitter
from graph_ir.decoder.positions import RowCount, emit_shape
from graph_ir.decoder.source import Array, Call
from graph_ir.onnx_values import op_key, value_name


def shapes_of_activations(graph: ir.Graph, moving: set[ir.Value]) -> list[ir.Value]:
    """What `Shape` and `Size` say about computed activations."""
    return [
        node.outputs[0]
        for node in graph
        if op_key(node) in ("Shape", "Size")
        and node.inputs[0] is not None
        and not node.inputs[0].is_graph_input()
        and node.inputs[0] in moving
    ]


def detach_shapes(
    graph: ir.Graph,
    shapes: Sequence[ir.Value],
    tokens: ir.Value,
    calls: Sequence[Call],
    results: Sequence[dict[str, Array]],
) -> None:
    """Replaces shapes in which nothing but the number of rows varies, in place.

    Args:
        graph: whose shapes they are.
        shapes: outputs of `Shape` or `Size`.
        tokens: the input `[1, rows]`.
        calls: of different sizes.
        results: the values in each call.
    """
    rows = RowCount(graph, tokens)
    counts = np.array([call.rows for call in calls])
    if len(set(counts.tolist())) < 2:
        return
    names = Emitter(graph, "extents")
    for value in shapes:
        arrays = [result[value_name(value)] for result in results]
        table = np.stack([array.reshape(-1) for array in arrays])
        parts: list[int | None] = []
        for column in table.T:
            if (column == column[0]).all():
                parts.append(int(column[0]))
            elif (column == counts).all():
                parts.append(None)
        if len(parts) != table.shape[1]:
            continue
        emitter = names.at(value_name(value), value.producer())
        value.replace_all_uses_with(emit_shape(emitter, parts, rows, arrays[0]))
    graph.sort()
