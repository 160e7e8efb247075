"""Work of widening the weights of products: one multiply an element, and a subtraction of zeros.

Only where scales differ along the summed axis (groups of input channels): one scale for a whole
tensor or an output channel is applied to the result, which costs what any epilogue does.
"""

from math import prod

import onnx_ir as ir

from graph_ir.onnx_values import is_constant, op_key, shape_of
from graph_ir.op_rules.facts import has_input

FUSED_DEQUANTIZING = frozenset({"com.microsoft::MatMulNBits"})
"""Products that widen a weight themselves."""

_SEPARATE = frozenset({"DequantizeLinear", "com.microsoft::DequantizeLinear"})


def dequantize_ops(node: ir.Node) -> int:
    """Elementary operations of widening a constant weight; 0 for a node that does not."""
    key = op_key(node)
    if key in FUSED_DEQUANTIZING:
        attributes = node.attributes
        elements = attributes.get_int("K", 0) * attributes.get_int("N", 0)
        return elements * (2 if has_input(node, 3) else 1)
    weight = node.inputs[0] if node.inputs else None
    if key not in _SEPARATE or weight is None or not is_constant(weight):
        return 0
    block = node.attributes.get_int("block_size", 0)
    shape = shape_of(weight)
    axis = node.attributes.get_int("axis", 1)
    if block <= 0 or not -len(shape) <= axis < len(shape) or shape[axis] <= block:
        return 0
    return prod(shape) * (2 if has_input(node, 2) else 1)
