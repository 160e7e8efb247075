"""Views whose result leaves the graph: the op that computes it writes it in that form.

Where that cannot be, because something else reads the value too or because nothing computes it
(a view of an input or a weight), the view becomes an op that copies.
"""

import onnx_ir as ir

from graph_ir.fusion.graph_index import GraphIndex
from graph_ir.onnx_values import is_constant
from graph_ir.workload import OpFamily


def settle_output_views(index: GraphIndex, outputs: list[ir.Value]) -> None:
    """Gives every graph output that a view computes a group that writes it."""
    producers = {value.producer() for value in outputs}
    for node in [n for n in index.nodes if n in producers and index.is_view(n)]:
        source, chain = index.trace(node.outputs[0])
        writer = source.producer()
        seed = None if writer is None else index.seed_of(writer)
        if seed is None or not _ends_privately(index, source, chain):
            index.materialize(node)
            index.claim(OpFamily.MOVEMENT, node, [node], None)
            continue
        for view in chain:
            index.materialize(view)
        index.extend(seed, chain)


def _ends_privately(index: GraphIndex, source: ir.Value, chain: list[ir.Node]) -> bool:
    """True where only this chain of views, with nothing but constants beside it, reads `source`."""
    return (
        index.is_private(source)
        and all(index.only_output(view) is not None for view in chain)
        and all(index.is_private(view.outputs[0]) for view in chain[1:])
        and all(
            at == index.data_input(view) or value is None or is_constant(value)
            for view in chain
            for at, value in enumerate(view.inputs)
        )
    )
