"""Movement: elements are copied to another place, without arithmetic.

Copies can be shared between cores in any way: each takes its share of what is read and of what
is written.
"""

from graph_ir.fusion.groups import Group
from graph_ir.op_rules.facts import (
    BOTH,
    OperandFacts,
    OpFacts,
    TypeOf,
    activation_space,
    output_shape,
)
from graph_ir.workload import Role


def movement_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """The rule of the family."""
    node = group.anchor
    space = activation_space(output_shape(node))
    operands = {
        (node, at): OperandFacts(Role.OTHER, space.present(BOTH)) for at in range(len(node.inputs))
    }
    return OpFacts(space, "linear", (), operands)
