"""How many positions a decoder was built for, where a table of positions says it."""

import onnx_ir as ir

from graph_ir.onnx_values import is_constant, op_key

_MOVES = frozenset(
    {"Reshape", "Unsqueeze", "Squeeze", "Cast", "Identity", "Expand", "Transpose", "Flatten"}
)


def most_positions(graph: ir.Graph, positions: ir.Value) -> int:
    """The shortest table that is read at the positions, 0 where there is none.

    Args:
        graph: in normal form.
        positions: its input.
    """
    # By value, what is added to the position.
    offsets: dict[ir.Value, int] = {positions: 0}
    lengths: list[int] = []
    for node in graph:
        source = next((value for value in node.inputs if value in offsets), None)
        if source is None:
            continue
        if op_key(node) in _MOVES and node.inputs[0] is source:
            offsets[node.outputs[0]] = offsets[source]
        elif op_key(node) == "Add":
            other = next((v for v in node.inputs if v is not None and v is not source), None)
            added = _number(other)
            if added is not None:
                offsets[node.outputs[0]] = offsets[source] + added
        elif op_key(node) in ("Gather", "GatherND") and node.inputs[1] is source:
            table = node.inputs[0]
            extent = _extent(table, node.attributes.get_int("axis", 0))
            if extent:
                lengths.append(extent - offsets[source])
    return max(0, min(lengths, default=0))


def _number(value: ir.Value | None) -> int | None:
    if value is None or not is_constant(value) or value.const_value is None:
        return None
    if value.const_value.size != 1 or not value.const_value.dtype.is_integer():
        return None
    return int(value.const_value.numpy().reshape(-1)[0])


def _extent(table: ir.Value | None, axis: int) -> int:
    if table is None or not is_constant(table) or table.const_value is None:
        return 0
    shape = table.const_value.shape
    extent = shape[axis] if -len(shape) <= axis < len(shape) else 0
    return extent if isinstance(extent, int) else 0
