"""Views: nodes that an op reads through while it streams its operand, at no cost of memory.

Reshape, Squeeze, Unsqueeze, Flatten, Identity, an inactive Dropout and a Cast between float
types (they share one execution type) always are. Transpose, Slice, Split and Expand are where
the accelerator streams them; a Gather of a single constant index is a Slice. DequantizeLinear,
and a short arithmetic chain on constants alone, decompress while they stream: the memory keeps
the small form.
"""

from collections.abc import Iterable

import onnx_ir as ir

from graph_ir.onnx_values import constant_ints, element_count, is_constant, op_key

STREAMED_BY_DEFAULT: frozenset[str] = frozenset({"Transpose", "Slice", "Split", "Expand"})

# Views that neither drop, repeat nor reorder elements across an op's split.
RESHAPING: frozenset[str] = frozenset(
    {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast", "Dropout", "Transpose"}
)

_ALWAYS = frozenset(
    {
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Identity",
        "DequantizeLinear",
        "com.microsoft::DequantizeLinear",
    }
)
_DECOMPRESSING = frozenset({"Cast", "Mul", "Sub", "Add"})
_FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)


def find_views(nodes: Iterable[ir.Node], streamed: frozenset[str]) -> dict[ir.Node, int]:
    """The views among topologically ordered nodes, each with the input that carries its data.

    Args:
        nodes: in topological order.
        streamed: which of Transpose, Slice, Split and Expand the accelerator streams.
    """
    views: dict[ir.Node, int] = {}
    on_constants: dict[ir.Node, bool] = {}
    for node in nodes:
        data = _data_input(node, streamed)
        if data is None:
            data = _decompressed_input(node, on_constants)
        if data is None:
            continue
        views[node] = data
        on_constants[node] = all(
            value is None or _constant_rooted(value, on_constants) for value in node.inputs
        )
    return views


def _data_input(node: ir.Node, streamed: frozenset[str]) -> int | None:
    key = op_key(node)
    if key in _ALWAYS or key in streamed:
        return 0
    if key == "Dropout":
        return 0 if len(node.outputs) == 1 or not node.outputs[1].uses() else None
    if key == "Cast":
        return 0 if _is_float(node.inputs[0]) and _is_float(node.outputs[0]) else None
    if key == "Gather" and "Slice" in streamed:
        picked = constant_ints(node.inputs[1])
        return 0 if picked is not None and len(picked) == 1 else None
    return None


def _is_float(value: ir.Value | None) -> bool:
    return value is not None and value.dtype in _FLOATS


def _constant_rooted(value: ir.Value, on_constants: dict[ir.Node, bool]) -> bool:
    if is_constant(value):
        return True
    producer = value.producer()
    return producer is not None and on_constants.get(producer, False)


def _decompressed_input(node: ir.Node, on_constants: dict[ir.Node, bool]) -> int | None:
    """The largest input of arithmetic on constants alone, which folding left to be streamed."""
    if op_key(node) not in _DECOMPRESSING:
        return None
    operands = [(at, value) for at, value in enumerate(node.inputs) if value is not None]
    if not all(_constant_rooted(value, on_constants) for _, value in operands):
        return None
    return max(operands, key=lambda operand: (element_count(operand[1]), -operand[0]))[0]
