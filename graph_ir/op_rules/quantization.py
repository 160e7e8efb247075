"""Quantization by itself, where no other op has taken it as its epilogue."""

from graph_ir.fusion.groups import Group
from graph_ir.onnx_values import op_key
from graph_ir.op_rules.facts import (
    OperandFacts,
    OpFacts,
    TypeOf,
    activation_space,
    input_shape,
    output_shape,
)
from graph_ir.workload import Role, Split


def quantization_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """Elementwise; a dynamic one first looks at every element for its range."""
    node = group.anchor
    space = activation_space(output_shape(node))
    if op_key(node) == "DynamicQuantizeLinear":
        return OpFacts(space, "vector")
    axis = node.attributes.get_int("axis", 1)
    rank = len(input_shape(node, 0))
    channel = space.column_axes == (axis + rank if axis < 0 else axis,)
    splits = space.present((Split.COLUMNS,)) if channel else ()
    operands = {(node, at): OperandFacts(Role.OTHER, splits) for at in range(1, len(node.inputs))}
    return OpFacts(space, "vector", (), operands)
