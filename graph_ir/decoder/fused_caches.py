"""Parts caches in which keys and values lie side by side.

Split(Concat(past, new))  ->  Concat(Split(past), Split(new))  for each part
"""

import onnx_ir as ir

from graph_ir.decoder.emit import Emitter
from graph_ir.onnx_values import op_key


def part_fused_caches(graph: ir.Graph) -> None:
    """Rewrites a graph in place; outputs that are whole caches stay as they are.

    Args:
        graph: sorted; it stays so.
    """
    for node in graph:
        if op_key(node) != "Concat" or len(node.inputs) != 2:
            continue
        past, new = node.inputs
        if past is None or new is None or not past.is_graph_input() or past.shape is None:
            continue
        rank = len(past.shape)
        axis = node.attributes.get_int("axis", 0) % rank
        for use in tuple(node.outputs[0].uses()):
            split = use.node
            if op_key(split) == "Split" and split.attributes.get_int("axis", 0) % rank != axis:
                _part(graph, split, past, new, axis)


def _part(graph: ir.Graph, split: ir.Node, past: ir.Value, new: ir.Value, axis: int) -> None:
    emitter = Emitter(graph, f"{split.name}.parts", split)
    others = list(split.inputs[1:])
    attributes = list(split.attributes.values())
    parts = [
        emitter.op("Split", [whole, *others], attributes, outputs=len(split.outputs))
        for whole in (past, new)
    ]
    for output, held, added in zip(split.outputs, *parts, strict=True):
        (joined,) = emitter.op("Concat", [held, added], [ir.AttrInt64("axis", axis)])
        output.replace_all_uses_with(joined, replace_graph_outputs=True)
