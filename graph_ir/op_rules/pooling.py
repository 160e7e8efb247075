"""Pooling windows."""

from graph_ir.fusion.groups import Group
from graph_ir.op_rules.conv import halo_elements, window_of
from graph_ir.op_rules.facts import (
    BOTH,
    OperandFacts,
    OpFacts,
    SplitSpace,
    TypeOf,
    input_shape,
    output_shape,
)
from graph_ir.workload import Role


def pooling_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """Channels are independent; rows overlap where windows do."""
    node = group.anchor
    result = output_shape(node)
    space = SplitSpace(result, (0, *range(2, len(result))), (1,))
    kernel = tuple(node.attributes.get_ints("kernel_shape", ()))
    halo = halo_elements(node, input_shape(node, 0), kernel)
    operands = {(node, 0): OperandFacts(Role.OTHER, space.present(BOTH), halo)}
    window = window_of(node, input_shape(node, 0), kernel)
    return OpFacts(space, "vector", (), operands, window=window)
