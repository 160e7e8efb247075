"""Chains and diamonds of elementwise ops become one op."""

import onnx_ir as ir

from graph_ir.fusion.graph_index import GraphIndex
from graph_ir.fusion.region import cone
from graph_ir.onnx_values import element_count, op_key
from graph_ir.op_rules.families import ELEMENTWISE_OPS, FAMILIES
from graph_ir.workload import OpFamily

_ROOTS = frozenset({OpFamily.ELEMENTWISE, OpFamily.QUANTIZATION})


def fuse_elementwise(index: GraphIndex) -> None:
    """Gathers, from the last node backwards, everything elementwise that only feeds it."""
    for node in reversed(index.nodes):
        if index.is_taken(node) or index.is_view(node):
            continue
        family = FAMILIES.get(op_key(node))
        if family not in _ROOTS or family is None:
            continue
        limit = element_count(node.outputs[0])

        def joins(candidate: ir.Node, limit: int = limit) -> bool:
            return (
                op_key(candidate) in ELEMENTWISE_OPS
                and element_count(candidate.outputs[0]) <= limit
            )

        index.claim(family, node, cone(index, [node], joins), index.only_output(node))
