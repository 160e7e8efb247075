"""What an op moves of a state that it updates in place: the rows that it writes, no more."""

from math import prod

import onnx_ir as ir

from graph_ir.onnx_values import op_key, shape_of
from graph_ir.op_rules.facts import (
    BOTH,
    OperandFacts,
    OpFacts,
    activation_space,
    input_shape,
    output_shape,
)
from graph_ir.op_rules.families import FAMILIES
from graph_ir.workload import OpFamily, Role

# Ops that copy their first input and put the rows of another input (its index) into it.
_SCATTERING: dict[str, int] = {
    "Scatter": 2,
    "ScatterElements": 2,
    "ScatterND": 2,
    "TensorScatter": 1,
}


def is_scatter(node: ir.Node, before: ir.Value) -> bool:
    """True for a node that writes rows into a state and reads nothing of it."""
    return op_key(node) in _SCATTERING and node.inputs[0] is before


def scatter_facts(node: ir.Node) -> OpFacts:
    """The rule of a node for which `is_scatter`: what is written is what is divided and moved."""
    rows_at = _SCATTERING[op_key(node)]
    rows = input_shape(node, rows_at)
    space = activation_space(rows)
    operands = {(node, rows_at): OperandFacts(Role.OTHER, space.present(BOTH))}
    return OpFacts(space, "linear", (), operands)


def written_elements(node: ir.Node, before: ir.Value, after: ir.Value) -> int:
    """How many elements of a state a node writes.

    Args:
        node: that has `after` among its outputs.
        before: the state when the inference begins.
        after: the state when it ends.
    """
    shape = shape_of(after)
    whole = prod(shape)
    if is_scatter(node, before):
        return min(whole, prod(input_shape(node, _SCATTERING[op_key(node)])))
    if FAMILIES.get(op_key(node)) is OpFamily.ATTENTION and len(shape) == 4:
        # Caches are [batch, heads, slots, width]; one row for every query.
        return min(whole, whole // max(1, shape[2]) * output_shape(node)[-2])
    return whole
