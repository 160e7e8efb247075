"""Convolutions.

rows = batch * OH * OW output pixels, inner = kh * kw * Cin / groups, columns = Cout / groups,
batch = groups. A transposed convolution is the product before its scatter: rows are input
pixels, columns are Cout / groups * kh * kw.
"""

from collections.abc import Sequence
from math import prod

import onnx_ir as ir

from graph_ir.fusion.groups import Group
from graph_ir.onnx_values import op_key
from graph_ir.op_rules.facts import (
    BOTH,
    OperandFacts,
    OpFacts,
    SplitSpace,
    TypeOf,
    factor_type,
    input_shape,
    output_shape,
)
from graph_ir.workload import MacWork, Role, Split, Window

# Input and weight; every further input is a bias, a scale or a zero point of the outputs.
FACTORS: dict[str, tuple[int, int]] = {
    "Conv": (0, 1),
    "ConvInteger": (0, 1),
    "ConvTranspose": (0, 1),
    "QLinearConv": (0, 3),
    "com.microsoft::FusedConv": (0, 1),
}


def conv_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """The rule of the family."""
    node = group.anchor
    left, right = FACTORS[op_key(node)]
    source, weight = input_shape(node, left), input_shape(node, right)
    result = output_shape(node)
    groups = node.attributes.get_int("group", 1)
    kernel = weight[2:]
    left_type = factor_type(group, node, left, type_of)
    right_type = factor_type(group, node, right, type_of)
    depthwise = groups > 1 and source[1] == groups
    if op_key(node) == "ConvTranspose":
        work = MacWork(
            batch=groups,
            rows=source[0] * prod(source[2:]),
            inner=source[1] // groups,
            columns=weight[1] * prod(kernel),
            depthwise=depthwise,
            left_type=left_type,
            right_type=right_type,
        )
    else:
        work = MacWork(
            batch=groups,
            rows=result[0] * prod(result[2:]),
            inner=prod(weight[1:]),
            columns=weight[0] // groups,
            kernel_positions=prod(kernel),
            depthwise=depthwise,
            left_type=left_type,
            right_type=right_type,
            window=window_of(node, source, kernel),
        )
    halo = halo_elements(node, source, kernel)
    rank = len(result)
    space = SplitSpace(result, (0, *range(2, rank)), (1,))
    by_channel = BOTH if depthwise else (Split.ROWS,)
    operands = {
        (node, at): OperandFacts(Role.OTHER, space.present((Split.COLUMNS,)))
        for at in range(len(node.inputs))
    }
    operands[(node, left)] = OperandFacts(Role.LEFT, space.present(by_channel), halo)
    operands[(node, right)] = OperandFacts(Role.RIGHT, space.present((Split.COLUMNS,)))
    if op_key(node) == "com.microsoft::FusedConv" and len(node.inputs) > 3:
        operands[(node, 3)] = OperandFacts(Role.OTHER, space.present(BOTH))
    return OpFacts(space, "mac", (work,), operands)


def window_of(node: ir.Node, source: tuple[int, ...], kernel: tuple[int, ...]) -> Window | None:
    """The window of a convolution or pooling; one dimension is one row of it, three have none."""
    rank = len(kernel)
    if rank not in (1, 2) or len(source) != rank + 2:
        return None

    def two(extents: Sequence[int]) -> tuple[int, int]:
        return (int(extents[0]), int(extents[1])) if rank == 2 else (1, int(extents[0]))

    return Window(
        two(source[2:]),
        two(kernel),
        two(node.attributes.get_ints("strides", [1] * rank)),
        two(node.attributes.get_ints("dilations", [1] * rank)),
        two(output_shape(node)[2:]),
    )


def halo_elements(node: ir.Node, source: tuple[int, ...], kernel: tuple[int, ...]) -> int:
    """Input elements that two cores both need where rows of the output are cut between them.

    A row of a transposed convolution's output is a sum over the input rows whose kernels reach it.
    """
    rank = len(kernel)
    strides = node.attributes.get_ints("strides", [1] * rank)
    dilations = node.attributes.get_ints("dilations", [1] * rank)
    result = output_shape(node)
    cut = next((axis for axis in range(rank) if result[2 + axis] > 1), None)
    if cut is None:
        return 0
    reach = (kernel[cut] - 1) * dilations[cut] + 1
    line = source[1] * prod(source[2:]) // max(1, source[2 + cut])
    shared = max(0, reach - strides[cut])
    if op_key(node) == "ConvTranspose":
        shared = -(-shared // strides[cut])
    return shared * line
