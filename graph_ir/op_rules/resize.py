"""Resampling of images."""

from math import prod

from graph_ir.fusion.groups import Group
from graph_ir.onnx_values import op_key
from graph_ir.op_rules.facts import (
    BOTH,
    OperandFacts,
    OpFacts,
    SplitSpace,
    TypeOf,
    activation_space,
    input_shape,
    output_shape,
)
from graph_ir.workload import Role, Split

# Neighbouring rows that an output row reads beside its own, by interpolation mode.
_OVERLAP: dict[str, int] = {"nearest": 0, "linear": 1, "bilinear": 1, "cubic": 3}


def resize_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """The rule of the family."""
    node = group.anchor
    result = output_shape(node)
    if op_key(node) == "AffineGrid":
        return OpFacts(activation_space(result), "vector")
    if len(result) < 3:
        return OpFacts(activation_space(result), "vector")
    space = SplitSpace(result, (0, *range(2, len(result))), (1,))
    if op_key(node) == "GridSample":
        operands = {
            (node, 0): OperandFacts(Role.OTHER, space.present((Split.COLUMNS,))),
            (node, 1): OperandFacts(Role.OTHER, space.present((Split.ROWS,))),
        }
        return OpFacts(space, "vector", (), operands)
    source = input_shape(node, 0)
    overlap = _OVERLAP.get(node.attributes.get_string("mode", "nearest"), 1)
    halo = overlap * prod(source[1:]) // max(1, source[2])
    operands = {(node, 0): OperandFacts(Role.OTHER, space.present(BOTH), halo)}
    return OpFacts(space, "vector", (), operands)
