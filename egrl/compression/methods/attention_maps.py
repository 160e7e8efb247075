"""Where a graph has attention: its probabilities and its values, found by pattern."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir
from torch import Tensor

from egrl.differentiable.graph import TorchGraph
from egrl.differentiable.ops.attention import attention_probabilities
from graph_ir.onnx_values import is_constant, op_key

# What may stand between the softmax and the product with the values.
_IN_BETWEEN = ("Cast", "Dropout", "Identity", "Where", "Mul")


@dataclass(frozen=True, slots=True, eq=False)
class AttentionMap:
    """One attention.

    Attributes:
        node: the Softmax, or the Attention.
        reads: values to compute, from which `maps` makes probabilities and values.
    """

    node: ir.Node
    reads: tuple[ir.Value, ...]

    def maps(self, graph: TorchGraph, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Probabilities `[..., queries, keys]` and values `[..., keys, depth]`, by head.

        Args:
            graph: that the attention is in.
            tensors: of `reads`.
        """
        if op_key(self.node) == "Softmax":
            return tensors[0], tensors[1]
        rest = iter(tensors)
        operands = [None if value is None else next(rest) for value in self.node.inputs]
        return attention_probabilities(graph.operator(self.node), operands)


def find_attention(graph: ir.Graph) -> tuple[AttentionMap, ...]:
    """All attentions of a graph, in its order.

    One is a softmax whose result multiplies what is computed, or an Attention of opset 23.
    """
    found = []
    for node in graph:
        if op_key(node) == "Attention":
            reads = tuple(value for value in node.inputs if value is not None)
            found.append(AttentionMap(node, reads))
        elif op_key(node) == "Softmax":
            values = _multiplied(node.outputs[0])
            if values is not None:
                found.append(AttentionMap(node, (node.outputs[0], values)))
    return tuple(found)


def _multiplied(probabilities: ir.Value) -> ir.Value | None:
    """The right factor of the product that a softmax goes into."""
    for node, at in probabilities.uses():
        if op_key(node) == "MatMul" and at == 0:
            right = node.inputs[1]
            if right is not None and not is_constant(right):
                return right
        elif op_key(node) in _IN_BETWEEN:
            behind = _multiplied(node.outputs[0])
            if behind is not None:
                return behind
    return None
