"""A decoder that is nothing but one attention, with queries, keys and values read from tables."""

import numpy as np
import onnx_ir as ir

from graph_ir.decoder.attention_function import attention_node, carry_functions
from graph_ir.decoder.decoder import LOGITS, POSITIONS, ROWS, TOKENS, Attention, Decoder
from tests.decoder.building import FLOAT, INT64, Builder


class Tables:
    """Random queries, keys and values by token, and learned sinks."""

    def __init__(self, attention, tokens, seed=0):
        rng = np.random.default_rng(seed)

        def table(heads, width, factor):
            return np.float32(factor) * rng.standard_normal((tokens, heads, width), np.float32)

        self.query = table(attention.query_heads, attention.head_width, 2.0)
        self.key = table(attention.kv_heads, attention.head_width, 1.0)
        self.value = table(attention.kv_heads, attention.value_width, 1.0)
        self.sinks = None
        if attention.sinks:
            self.sinks = rng.standard_normal(attention.query_heads).astype(np.float32)


def attention_of(
    query_heads=4,
    kv_heads=2,
    head_width=8,
    value_width=None,
    softcap=0.0,
    window=0,
    slopes=(),
    sinks=False,
):
    """An attention with the usual scale."""
    return Attention(
        node="attention",
        query_heads=query_heads,
        kv_heads=kv_heads,
        head_width=head_width,
        value_width=head_width if value_width is None else value_width,
        scale=float(np.float32(head_width**-0.5)),
        softcap=softcap,
        window=window,
        slopes=tuple(slopes),
        sinks=sinks,
    )


def attention_decoder(attention, tables):
    """Logits are what the heads attended to, [1, rows, query_heads * value_width]."""
    graph = Builder(18)
    graph.input(TOKENS, [1, ROWS], INT64)
    graph.input(POSITIONS, [ROWS], INT64)
    parts = []
    for name in ("query", "key", "value"):
        table = graph.const(getattr(tables, name), f"{name}.table")
        rows = graph.op("Gather", table, TOKENS, axis=0)
        parts.append(graph.op("Transpose", rows, perm=[0, 2, 1, 3]))
    if tables.sinks is not None:
        parts.append(graph.const(tables.sinks, "sinks"))
    graph.input("attended", [1, attention.query_heads, ROWS, attention.value_width], FLOAT)
    turned = graph.op("Transpose", "attended", perm=[0, 2, 1, 3])
    width = attention.query_heads * attention.value_width
    graph.op("Reshape", turned, graph.ints(0, 0, width), out=LOGITS)
    graph.output(LOGITS, [1, ROWS, width])
    model = ir.serde.deserialize_model(graph.model())
    values = {value.name: value for node in model.graph for value in node.outputs}
    values |= model.graph.initializers
    node = attention_node(attention, 0, *(values[name] for name in parts))
    node.outputs[0].name = "attention.out"
    placeholder = model.graph.inputs.pop()
    placeholder.replace_all_uses_with(node.outputs[0])
    model.graph.append(node)
    model.graph.sort()
    carry_functions(model)
    return Decoder(model, (attention,), width, 0, "attention", "")
