"""Puts `egrl::CausalAttention` in the place of recognised attentions."""

import numpy as np
import onnx_ir as ir

from graph_ir.decoder.attention_function import attention_node
from graph_ir.decoder.emit import Emitter
from graph_ir.decoder.fit import Fitted
from graph_ir.decoder.region import Layouts
from graph_ir.decoder.site import Site


def replace_attention(
    graph: ir.Graph, site: Site, layouts: Layouts, fitted: Fitted, layer: int, kind: ir.DataType
) -> None:
    """Rewires one attention, in place; what is unused afterwards stays in the graph.

    Args:
        graph: sorted.
        site: the attention.
        layouts: of its values.
        fitted: what it computes.
        layer: its index.
        kind: element type of its values.
    """
    emitter = Emitter(graph, fitted.attention.node, site.node)
    parts = []
    for value, layout in (
        (site.query, layouts.query),
        (site.key, layouts.key),
        (site.value, layouts.value),
    ):
        part = layout.emit_read(emitter, value)
        parts.append(part if kind is ir.DataType.FLOAT else emitter.cast(part, ir.DataType.FLOAT))
    sinks = None
    if fitted.sinks_H is not None:
        sinks = emitter.constant(fitted.sinks_H.astype(np.float32), "sinks")
    query, key, value = parts
    # Its name is the one that the replaced node gives up.
    node = attention_node(fitted.attention, layer, query, key, value, sinks)
    site.node.name = emitter.fresh("replaced")
    result = emitter.add(node)
    if kind is not ir.DataType.FLOAT:
        result = emitter.cast(result, kind)
    result = layouts.output.emit_write(emitter, result)
    site.node.outputs[0].replace_all_uses_with(result, replace_graph_outputs=True)
