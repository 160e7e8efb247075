"""Nodes whose inputs are all constants become initializers."""

import onnx_ir as ir

from graph_ir.folding import Folder
from graph_ir.passes.base import Pass, PassResult


class ConstantFolding(Pass):
    """f(c1, c2, ...) -> c, computed by onnxruntime's own kernel.

    Random draws and dequantized weights are left as they are, and a result that exceeds the memory
    limit is an error. See `graph_ir.folding`.
    """

    name = "constant-folding"

    def apply(self, model: ir.Model) -> PassResult:
        """Folds in one walk in topological order."""
        graph = model.graph
        folder = Folder(graph, model.opset_imports, graph.name or "model")
        for node in tuple(graph):
            folder.fold(node)
        return PassResult(folder.folded, f"{folder.folded} nodes folded" if folder.folded else "")
