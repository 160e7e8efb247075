"""Rotary position embedding in its decomposed forms becomes one op.

Both x * cos + concat(-x2, x1) * sin and concat(x1 * cos - x2 * sin, x2 * cos + x1 * sin), with
the halves from Slice or Split.
"""

import onnx_ir as ir

from graph_ir.fusion.graph_index import GraphIndex
from graph_ir.fusion.region import grow
from graph_ir.fusion.views import RESHAPING
from graph_ir.onnx_values import element_count, op_key
from graph_ir.op_rules.families import ELEMENTWISE_OPS
from graph_ir.workload import OpFamily

_HALVES = frozenset({"Slice", "Split", "Gather"})


def _allowed(node: ir.Node) -> bool:
    key = op_key(node)
    return key in ELEMENTWISE_OPS or key in RESHAPING or key in ("Slice", "Split", "Concat")


def fuse_rope(index: GraphIndex) -> None:
    """Claims every region that takes a value apart, rotates it and puts it together again."""
    tried: set[ir.Value] = set()
    for node in index.nodes:
        if op_key(node) not in _HALVES or index.is_taken(node):
            continue
        start = node.inputs[0]
        if start is None or start in tried:
            continue
        tried.add(start)
        region = grow(index, start, _allowed, element_count(start))
        if region is None:
            continue
        kinds = {op_key(member) for member in region.members}
        if "Concat" in kinds and "Mul" in kinds:
            last = region.members[-1]
            index.claim(OpFamily.ELEMENTWISE, last, list(region.members), region.end)
