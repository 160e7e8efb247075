"""Matrix products.

`[..., M, K] x [K, N]` has rows = all leading extents, columns = N. Where both factors have
leading axes these are a batch (of heads), which is what `Split.COLUMNS` then divides.
"""

from math import prod

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.fusion.groups import Group
from graph_ir.onnx_values import node_name, op_key
from graph_ir.op_rules.einsum import Contraction, parse_contraction
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
from graph_ir.workload import MacWork, Role, Split

# The two factors; every further input belongs to the result (bias) or the weight's columns.
FACTORS: dict[str, tuple[int, int]] = {
    "Einsum": (0, 1),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "com.microsoft::FusedGemm": (0, 1),
    "com.microsoft::FusedMatMul": (0, 1),
    "com.microsoft::MatMulIntegerToFloat": (0, 1),
    "com.microsoft::MatMulNBits": (0, 1),
}


def product_work(group: Group, node: ir.Node, type_of: TypeOf) -> MacWork:
    """The matrix product that a node computes."""
    contraction = _contraction(node)
    left, right = FACTORS[op_key(node)]
    right_type = factor_type(group, node, right, type_of)
    if op_key(node) == "com.microsoft::MatMulNBits":
        right_type = f"int{node.attributes.get_int('bits', 4)}"
    return MacWork(
        batch=contraction.batch,
        rows=contraction.rows,
        inner=contraction.inner,
        columns=contraction.columns,
        left_type=factor_type(group, node, left, type_of),
        right_type=right_type,
    )


def matmul_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """The rule of the family."""
    node = group.anchor
    lefts: tuple[Split, ...]
    work = product_work(group, node, type_of)
    left, right = FACTORS[op_key(node)]
    space = product_space(output_shape(node), work)
    lefts, rights = (Split.ROWS,), (Split.COLUMNS,)
    if work.batch > 1:
        whole_left = op_key(node) != "Einsum" and prod(input_shape(node, left)[:-2]) == 1
        lefts = lefts if whole_left else BOTH
    operands = {
        (node, left): OperandFacts(Role.LEFT, space.present(lefts)),
        (node, right): OperandFacts(Role.RIGHT, space.present(rights)),
    }
    bias = 2 if op_key(node) in ("Gemm", "com.microsoft::FusedGemm") else None
    for at in range(len(node.inputs)):
        if at not in (left, right, bias):
            operands[(node, at)] = OperandFacts(Role.OTHER, space.present(rights))
    return OpFacts(space, "mac", (work,), operands)


def product_space(result: tuple[int, ...], work: MacWork) -> SplitSpace:
    """How the cores share a product with this result."""
    rank = len(result)
    if work.batch > 1 and prod(result[:-2]) == work.batch and rank > 2:
        return SplitSpace(result, (rank - 2,), tuple(range(rank - 2)))
    if work.rows * work.columns * work.batch != prod(result) or rank == 0:
        return SplitSpace((work.batch, work.rows, work.columns), (1,), (2,))
    if result[-1] != work.columns:
        if work.batch > 1:
            return SplitSpace((work.batch, work.rows, work.columns), (1,), (0,))
        return SplitSpace((work.rows, work.columns), (0,), (1,))
    return SplitSpace(result, tuple(range(rank - 1)), (rank - 1,))


def _contraction(node: ir.Node) -> Contraction:
    key = op_key(node)
    left, right = FACTORS[key]
    if key == "Einsum":
        if len(node.inputs) != 2:
            raise InputError(
                f"no lowering rule for op Einsum (node {node_name(node)}): "
                f"expected 2 operands, got {len(node.inputs)}"
            )
        equation = node.attributes.get_string("equation", "")
        return parse_contraction(
            node_name(node), equation, input_shape(node, 0), input_shape(node, 1)
        )
    if any(node.attributes.get_int(name, 0) for name in ("transBatchA", "transBatchB")):
        raise InputError(
            f"no lowering rule for op {key} (node {node_name(node)}): "
            "expected batch axes in place, got transBatchA or transBatchB"
        )
    first = input_shape(node, left)
    if key == "com.microsoft::MatMulNBits":
        inner, columns = node.attributes.get_int("K", 0), node.attributes.get_int("N", 0)
        return Contraction(1, prod(first[:-1]), inner, columns)
    second = input_shape(node, right)
    if node.attributes.get_int("transA", 0) and len(first) > 1:
        first = (*first[:-2], first[-1], first[-2])
    if node.attributes.get_int("transB", 0) and len(second) > 1:
        second = (*second[:-2], second[-1], second[-2])
    if len(first) == 1:
        first = (1, *first)
    columns = 1 if len(second) == 1 else second[-1]
    inner = first[-1]
    if prod(second[:-2]) == 1:
        return Contraction(1, prod(first[:-1]), inner, columns)
    batch = prod(output_shape(node)) // max(1, first[-2] * columns)
    return Contraction(batch, first[-2], inner, columns)
