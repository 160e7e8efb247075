"""Gathers and scatters: the traffic is what the indices pick, not the table."""

from math import prod

from graph_ir.fusion.groups import Group
from graph_ir.onnx_values import normalized_axis, op_key
from graph_ir.op_rules.facts import (
    OperandFacts,
    OpFacts,
    TypeOf,
    activation_space,
    input_shape,
    output_shape,
)
from graph_ir.workload import Role, Split

_PICKING = frozenset(
    {"Gather", "GatherElements", "GatherND", "com.microsoft::GatherBlockQuantized"}
)


def gather_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """The rule of the family."""
    node = group.anchor
    result = output_shape(node)
    space = activation_space(result)
    key = op_key(node)
    operands = {}
    if key in _PICKING:
        table = input_shape(node, 0)
        touched = min(prod(table), prod(result))
        splits: tuple[Split, ...] = ()
        axis = normalized_axis(node.attributes.get_int("axis", 0), len(table))
        # The last axis of a table stays the last axis of what is picked from other axes.
        if key == "Gather" and axis != len(table) - 1 and space.column_axes == (len(result) - 1,):
            splits = space.present((Split.COLUMNS,))
        operands[(node, 0)] = OperandFacts(Role.OTHER, splits, touched_elements=touched)
        if key != "GatherElements":
            picks = space.present((Split.ROWS,)) if axis == 0 else ()
            operands[(node, 1)] = OperandFacts(Role.OTHER, picks)
    elif key == "RoiAlign":
        operands[(node, 0)] = OperandFacts(Role.OTHER, space.present((Split.COLUMNS,)))
    return OpFacts(space, "linear", (), operands)
