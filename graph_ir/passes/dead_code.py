"""Nodes and initializers that no output needs go."""

import onnx_ir as ir
from onnx_ir.passes import common

from graph_ir.passes.base import Pass, PassResult


class DeadCode(Pass):
    """Removes what no graph output depends on, and opset imports that are left without a node.

    Graph inputs stay, used or not: they are what a caller feeds.
    """

    name = "dead-code"

    def apply(self, model: ir.Model) -> PassResult:
        """Removes in one reverse walk."""
        before = _size(model)
        common.RemoveUnusedNodesPass()(model)
        common.RemoveUnusedOpsetsPass()(model)
        nodes, constants = (b - a for b, a in zip(before, _size(model), strict=True))
        removed = nodes + constants
        details = f"{nodes} nodes and {constants} constants removed" if removed else ""
        return PassResult(removed, details)


def _size(model: ir.Model) -> tuple[int, int]:
    return len(model.graph), len(model.graph.initializers)
