"""Adds something to the result of a product that stays in the form which onnxruntime fuses."""

from collections.abc import Sequence

import onnx_ir as ir

from graph_ir.compression.residual_stream_ops import float_constant
from graph_ir.onnx_values import node_name, op_key, shape_of
from graph_ir.passes.rewiring import Names, graph_of


def add_beside(node: ir.Node, branch: Sequence[ir.Node], rank: int, stem: str) -> None:
    """Adds what a branch computes to a product, behind its bias where one is added.

    Args:
        node: the product.
        branch: products in a chain, not inserted, the last one of the result's shape.
        rank: columns of all but the last.
        stem: what names of values begin with.
    """
    graph = graph_of(node)
    last = _biased(node)
    output = last.outputs[0]
    total = ir.node("Add", [output, branch[-1].outputs[0]], name=f"{stem}_add")
    names, whole = Names(graph), shape_of(output)
    for at, made in enumerate((*branch, total)):
        inner = at < len(branch) - 1
        made.outputs[0].shape = ir.Shape((*whole[:-1], rank) if inner else whole)
        made.outputs[0].type = output.type
        made.outputs[0].name = names.unused(f"{node_name(made)}.out")
    graph.insert_after(last, [*branch, total])
    is_output, old_name = output.is_graph_output(), output.name
    output.replace_all_uses_with(total.outputs[0], replace_graph_outputs=True)
    total.replace_input_with(0, output)
    if is_output:
        output.name, total.outputs[0].name = total.outputs[0].name, old_name


def _biased(node: ir.Node) -> ir.Node:
    """The node itself, or the Add of a constant that alone reads it: the two become one kernel."""
    uses = node.outputs[0].uses()
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return node
    adder, at = next(iter(uses))
    is_bias = op_key(adder) == "Add" and float_constant(adder.inputs[1 - at]) is not None
    same = is_bias and shape_of(adder.outputs[0]) == shape_of(node.outputs[0])
    return adder if same else node
