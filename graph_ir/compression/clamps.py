"""Clamps behind products of dequantized weights, in a form beside which onnxruntime fuses.

Looking for integer results, onnxruntime 1.31 passes through a Relu or Clip that follows a product
and another node reads; finding none, it does not fuse the product at all. Max and Min with a
constant compute the same, and it does not know them for clamps.
"""

import numpy as np
import onnx_ir as ir

from graph_ir.compression.packing import named_node
from graph_ir.onnx_values import op_key, shape_of, value_name
from graph_ir.passes.rewiring import add_constant


def unclamp(graph: ir.Graph, product: ir.Node) -> bool:
    """Rewrites the Relus and Clips that read a product, or the sum of it and something.

    Returns:
        Whether there were any.
    """
    results = [product.outputs[0]]
    results += [n.outputs[0] for n, _ in product.outputs[0].uses() if op_key(n) == "Add"]
    clamps = [
        node for result in results for node, at in list(result.uses()) if at == 0 and _clamps(node)
    ]
    for node in clamps:
        _rewrite(graph, node)
    return bool(clamps)


def _clamps(node: ir.Node) -> bool:
    """Whether a node is a Relu, or a Clip whose bounds are inputs, as from opset 11 on."""
    return op_key(node) == "Relu" or (
        op_key(node) == "Clip" and not node.attributes and len(node.inputs) > 1
    )


def _rewrite(graph: ir.Graph, node: ir.Node) -> None:
    value, result = node.inputs[0], node.outputs[0]
    assert value is not None
    assert value.dtype is not None
    shape, dtype, name = shape_of(result), value.dtype, value_name(result)
    # onnxruntime clips from below first: where the bounds cross, the upper one is the result.
    if op_key(node) == "Relu":
        zero = add_constant(graph, f"{name}.zero", np.zeros((), dtype.numpy()))
        steps: list[tuple[str, ir.Value]] = [("Max", zero)]
    else:
        bounds = zip(("Max", "Min"), node.inputs[1:3], strict=False)
        steps = [(op, bound) for op, bound in bounds if bound is not None]
    for op, bound in steps:
        step = named_node(graph, op, [value, bound], {}, f"{name}.{op.lower()}", shape, dtype)
        graph.insert_before(node, step)
        value = step.outputs[0]
    is_output = result.is_graph_output()
    result.replace_all_uses_with(value, replace_graph_outputs=is_output)
    graph.remove(node, safe=True)
    value.name = name
