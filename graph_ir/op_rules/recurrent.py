"""LSTM, GRU and RNN: the gates' products, the recurrent ones once a time step."""

from graph_ir.fusion.groups import Group
from graph_ir.onnx_values import op_key
from graph_ir.op_rules.facts import (
    OperandFacts,
    OpFacts,
    SplitSpace,
    TypeOf,
    factor_type,
    input_shape,
)
from graph_ir.workload import MacWork, Role, Split

GATES: dict[str, int] = {"GRU": 3, "LSTM": 4, "RNN": 1}
# Vectors of the hidden size that live from step to step.
STATES: dict[str, int] = {"GRU": 1, "LSTM": 2, "RNN": 1}
STATE_BYTES = 4


def recurrent_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """Time is sequential: cores share the hidden units, and the batch as rows."""
    node = group.anchor
    directions, gate_rows, inner = input_shape(node, 1)
    hidden = input_shape(node, 2)[2]
    source = input_shape(node, 0)
    steps, batch = source[0], source[1]
    if node.attributes.get_int("layout", 0):
        steps, batch = batch, steps
    left = factor_type(group, node, 0, type_of)
    work = (
        MacWork(
            directions,
            steps * batch,
            inner,
            gate_rows,
            1,
            False,
            left,
            factor_type(group, node, 1, type_of),
        ),
        MacWork(
            directions * steps,
            batch,
            hidden,
            gate_rows,
            1,
            False,
            left,
            factor_type(group, node, 2, type_of),
        ),
    )
    space = SplitSpace((batch, directions * hidden), (0,), (1,))
    by_unit = space.present((Split.COLUMNS,))
    operands = {
        (node, 0): OperandFacts(Role.LEFT, space.present((Split.ROWS,))),
        (node, 1): OperandFacts(Role.RIGHT, by_unit),
        (node, 2): OperandFacts(Role.RIGHT, by_unit),
        (node, 3): OperandFacts(Role.OTHER, by_unit),
        (node, 7): OperandFacts(Role.OTHER, by_unit),
    }
    state_bytes = STATES[op_key(node)] * batch * hidden * directions * STATE_BYTES
    return OpFacts(space, "mac", work, operands, state_bytes)
