"""Writes the exact entries of a weight into the graph, beside its quantized product.

`x W = x Q + x E` with E zero but for the entries. E is put together from the stored list by
standard ops of constants, which onnxruntime folds when it loads the model: in the file there is
the list, in its memory and on its cores a float matrix. Of the standard forms this is the
fastest one; gathering inputs entry by entry takes several times as long.

Axes: K inner, N columns, P entries.
"""

import numpy as np
import onnx_ir as ir

from graph_ir.compression.addition import add_beside
from graph_ir.compression.entries import Entries
from graph_ir.compression.packing import named_node, packed_constant
from graph_ir.onnx_values import node_name
from graph_ir.passes.rewiring import Names, add_constant, graph_of


def emit_entries(node: ir.Node, stem: str, entries: Entries, inner: int, columns: int) -> None:
    """Adds `x E` to a product `x Q`.

    Args:
        node: MatMul or Gemm without transA; changed in place.
        stem: what the names of the new constants begin with.
        entries: that are not zero in E.
        inner: K.
        columns: N.
    """
    graph, x = graph_of(node), node.inputs[0]
    assert x is not None
    whole = _matrix(graph, node, f"{stem}.outliers", entries, (inner, columns))
    name = f"{node_name(node)}/outliers"
    add_beside(node, [ir.node("MatMul", [x, whole], name=name)], columns, name)


def _matrix(
    graph: ir.Graph, before: ir.Node, stem: str, entries: Entries, shape: tuple[int, int]
) -> ir.Value:
    distance, value = entries.stored(shape[1])
    names = Names(graph)
    steps = packed_constant(graph, f"{stem}.distance", distance, ir.DataType.UINT16, names)
    values = packed_constant(graph, f"{stem}.value", value, ir.DataType.FLOAT16, names)
    size, count, integer, real = shape[0] * shape[1], len(value), ir.DataType.INT64, _FLOAT
    axis = add_constant(graph, f"{stem}.axis", np.array(0, np.int64))
    flat = add_constant(graph, f"{stem}.size", np.array([size], np.int64))
    extents = add_constant(graph, f"{stem}.shape", np.array(shape, np.int64))
    made: list[ir.Node] = []

    def then(
        op_type: str,
        inputs: list[ir.Value],
        dtype: ir.DataType,
        extent: tuple[int, ...],
        to: ir.DataType | None = None,
    ) -> ir.Value:
        attributes = {} if to is None else {"to": to}
        suffix = f"{stem}.{op_type.lower()}{len(made)}"
        made.append(named_node(graph, op_type, inputs, attributes, suffix, extent, dtype, names))
        return made[-1].outputs[0]

    wide = then("Cast", [steps], integer, (count,), integer)
    at = then("CumSum", [wide, axis], integer, (count,))
    exact = then("Cast", [values], real, (count,), real)
    zeros = then("ConstantOfShape", [flat], real, (size,))
    filled = then("ScatterElements", [zeros, at, exact], real, (size,))
    whole = then("Reshape", [filled, extents], real, shape)
    graph.insert_before(before, made)
    return whole


_FLOAT = ir.DataType.FLOAT
