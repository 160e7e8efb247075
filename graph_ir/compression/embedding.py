"""Embeddings: Gathers of rows of a constant table, whose rows become integers with scales.

`Gather(Cast(integers), rows)`, `Gather(scales, rows)`, then one DequantizeLinear of the few rows
that were picked: standard ops. onnxruntime folds the Cast from 4 to 8 bits when a session is made
(it has no Gather of 4 bits), so that a call costs what the rows cost; a DequantizeLinear in front
of the Gather would widen the whole table on every call. A tied table is stored `[K, N]` as its
product wants it, and is read through a Transpose that is folded along with the Cast.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from graph_ir.compression.grid import F32, QuantizedWeight
from graph_ir.compression.packing import Packed, drop_unused, named_node, pack
from graph_ir.compression.sites import (
    SMALLEST_EXTENT,
    WEIGHT_TYPES,
    Site,
    Skipped,
    finite_weight,
    row_gathers,
)
from graph_ir.onnx_values import is_constant, node_name, op_key, shape_of, value_name
from graph_ir.passes.rewiring import graph_of

# Positions, token types and lists of anchors are no embeddings: they save nothing.
SMALLEST_TABLE = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table of embeddings that no product shares.

    Attributes:
        nodes: its Gathers, in topological order.
        weight: the constant, `[V, C]`.
    """

    nodes: tuple[ir.Node, ...]
    weight: ir.Value

    @property
    def name(self) -> str:
        """The first Gather's, which is unique."""
        return node_name(self.nodes[0])

    def weight_KN(self) -> F32:
        """The table as the weight of a product has it, `[C, V]`: groups are along C.

        Raises:
            InputError: it holds a NaN or an infinity, or entries beyond what scales hold.
        """
        return np.ascontiguousarray(finite_weight(self.weight, self.name).T)


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables of a graph, in topological order."""

    found: tuple[Table, ...]
    skipped: tuple[Skipped, ...]


def find_tables(graph: ir.Graph, sites: Sequence[Site]) -> Tables:
    """The tables whose rows can be quantized.

    Args:
        graph: with static shapes.
        sites: of the graph; the tables that they tie are left out.
    """
    tied = {node for site in sites for node in site.tables}
    gathers: dict[ir.Value, list[ir.Node]] = {}
    for node in graph:
        table = node.inputs[0] if op_key(node) == "Gather" else None
        if table is not None and node not in tied and is_constant(table):
            gathers.setdefault(table, []).append(node)
    found: list[Table] = []
    skipped: list[Skipped] = []
    for table, nodes in gathers.items():
        if np.prod(shape_of(table)) < SMALLEST_TABLE or table.dtype not in WEIGHT_TYPES:
            continue
        reason = _refusal(table, nodes)
        if reason is None:
            found.append(Table(tuple(nodes), table))
        else:
            skipped.append(Skipped(node_name(nodes[0]), reason))
    return Tables(tuple(found), tuple(skipped))


def _refusal(table: ir.Value, nodes: Sequence[ir.Node]) -> str | None:
    shape = shape_of(table)
    if len(shape) != 2:
        return f"its table has {len(shape)} axes"
    if min(shape) < SMALLEST_EXTENT:
        return f"its table {shape[0]} x {shape[1]} is too small"
    if table.dtype is not ir.DataType.FLOAT:
        return f"its table is {table.dtype.name if table.dtype else 'untyped'}, not FLOAT"
    if set(row_gathers(table)) != set(nodes):
        return "it picks columns of its table, or rows that are constant"
    return None


def emit_table(table: Table, quantized: QuantizedWeight) -> None:
    """Puts a quantized table in the place of a float one.

    Args:
        table: of a graph of at least `needed_opset`; changed in place.
        quantized: of `weight_KN`.
    """
    graph = graph_of(table.nodes[0])
    packed = pack(graph, value_name(table.weight), quantized, rows_first=True)
    emit_lookups(table.nodes, packed, quantized, rows_first=True)
    drop_unused(graph, table.weight)


def emit_lookups(
    nodes: Sequence[ir.Node], packed: Packed, quantized: QuantizedWeight, *, rows_first: bool
) -> None:
    """Lets Gathers of rows read a quantized table.

    Args:
        nodes: removed; values that nodes before read are no longer in use.
        packed: the table's constants.
        quantized: what they hold.
        rows_first: whether they are `[V, C]`; otherwise they are `[C, V]`.
    """
    graph = graph_of(nodes[0])
    symmetric = quantized.grid.symmetric
    wide = ir.DataType.INT8 if symmetric else ir.DataType.UINT8
    inner, rows = quantized.levels_KN.shape
    groups = quantized.scale_GN.shape[0]
    first = min(nodes, key=_order(graph).__getitem__)

    def by_row(value: ir.Value, width: int) -> ir.Value:
        """The constant as `[V, width]` in a type that Gather takes, through folded nodes."""
        name, steps = value_name(value), list[ir.Node]()
        shape = (rows, width) if rows_first else (width, rows)
        if value.dtype is not None and value.dtype.bitwidth < 8:
            steps.append(named_node(graph, "Cast", [value], {"to": wide}, f"{name}8", shape, wide))
            value = steps[-1].outputs[0]
        if not rows_first:
            assert value.dtype is not None
            steps.append(
                named_node(
                    graph,
                    "Transpose",
                    [value],
                    {"perm": [1, 0]},
                    f"{name}.rows",
                    (rows, width),
                    value.dtype,
                )
            )
        graph.insert_before(first, steps)
        return steps[-1].outputs[0] if steps else value

    levels, scale = by_row(packed.levels, inner), by_row(packed.scale, groups)
    zero = None if packed.zero is None else by_row(packed.zero, groups)
    for node in nodes:
        lookups_of(graph, node, levels, scale, zero, inner, quantized.grid.group)


def lookups_of(
    graph: ir.Graph,
    node: ir.Node,
    levels: ir.Value,
    scale: ir.Value,
    zero: ir.Value | None,
    width: int,
    group: int,
) -> None:
    """Replaces one Gather of rows; what it computed keeps its name.

    Args:
        graph: of the node.
        node: removed.
        levels: `[V, width]`, of a type that Gather takes.
        scale: `[V, groups]`, float16 or float32.
        zero: likewise, of the type of `levels`; None for zeros.
        width: elements of a row.
        group: of them share a scale.
    """
    index, result = node.inputs[1], node.outputs[0]
    assert index is not None, node
    name, shape = value_name(result), shape_of(index)
    made: list[ir.Node] = []

    def add(
        op_type: str,
        inputs: list[ir.Value],
        attributes: dict[str, int],
        stem: str,
        width: int,
        dtype: ir.DataType,
    ) -> ir.Value:
        made.append(named_node(graph, op_type, inputs, attributes, stem, (*shape, width), dtype))
        return made[-1].outputs[0]

    def picked(table: ir.Value, suffix: str) -> ir.Value:
        assert table.dtype is not None
        width = shape_of(table)[1]
        return add("Gather", [table, index], {"axis": 0}, f"{name}.{suffix}", width, table.dtype)

    inputs = [picked(levels, "q")]
    stored = picked(scale, "scale")
    if scale.dtype is not ir.DataType.FLOAT:
        to = {"to": int(ir.DataType.FLOAT)}
        stored = add("Cast", [stored], to, f"{name}.scale32", shape_of(scale)[1], ir.DataType.FLOAT)
    inputs.append(stored)
    if zero is not None:
        inputs.append(picked(zero, "zero"))
    attributes = {"axis": len(shape), "block_size": group}
    whole = add("DequantizeLinear", inputs, attributes, f"{name}.row", width, ir.DataType.FLOAT)
    graph.insert_before(node, made)
    result.replace_all_uses_with(whole, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    whole.name = name


def _order(graph: ir.Graph) -> dict[ir.Node, int]:
    return {node: at for at, node in enumerate(graph)}
