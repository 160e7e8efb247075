"""A decoder that is nothing but attention, its queries, keys and values read from tables."""

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.decoder.attention_function import attention_node, carry_functions
from graph_ir.decoder.decoder import LOGITS, POSITIONS, ROWS, TOKENS, Attention, Decoder
from graph_ir.kv.writing import Writer

F32 = NDArray[np.float32]
_OPSET = 18


@dataclass(frozen=True, slots=True)
class Tables:
    """Random rows by token, [tokens, heads, width], and logits of learned sinks."""

    query: F32
    key: F32
    value: F32
    sinks: F32 | None


def draw_tables(attention: Attention, tokens: int, seed: int = 0) -> Tables:
    """Tables for an attention; queries twice as long, so that it has something to choose."""
    rng = np.random.default_rng(seed)

    def drawn(heads: int, width: int, factor: float) -> F32:
        rows = rng.standard_normal((tokens, heads, width), np.float32)
        return np.float32(factor) * rows

    return Tables(
        drawn(attention.query_heads, attention.head_width, 2.0),
        drawn(attention.kv_heads, attention.head_width, 1.0),
        drawn(attention.kv_heads, attention.value_width, 1.0),
        rng.standard_normal(attention.query_heads, np.float32) if attention.sinks else None,
    )


def attention_decoder(attention: Attention, tables: Tables, layers: int = 1) -> Decoder:
    """The decoder; logits are what the heads attended to, [1, rows, query heads x value width].

    Args:
        attention: of every layer.
        tables: what it reads.
        layers: side by side; what they attended to is added up.
    """
    found = tuple(
        replace(attention, node=attention.node if index == 0 else f"{attention.node}.{index}")
        for index in range(layers)
    )
    writer = Writer("one.", _OPSET)
    tokens = _input(TOKENS, [1, ROWS])
    parts = []
    for table in (tables.query, tables.key, tables.value):
        rows = writer.gather(writer.constant(table), tokens, 0)
        parts.append(writer.op("Transpose", rows, attributes={"perm": [0, 2, 1, 3]}))
    if tables.sinks is not None:
        parts.append(writer.constant(tables.sinks))
    attended = None
    for index, layer in enumerate(found):
        node = attention_node(layer, index, *parts)
        node.outputs[0].name = f"attended.{index}"
        writer.nodes.append(node)
        own = node.outputs[0]
        attended = own if attended is None else writer.op("Add", attended, own)
    turned = writer.op("Transpose", attended, attributes={"perm": [0, 2, 1, 3]})
    width = attention.query_heads * attention.value_width
    logits = writer.reshape(turned, [0, 0, width])
    logits.name = LOGITS
    logits.type, logits.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([1, ROWS, width])
    graph = ir.Graph(
        [tokens, _input(POSITIONS, [ROWS])],
        [logits],
        nodes=writer.nodes,
        name="attention",
        opset_imports={"": _OPSET},
    )
    model = ir.Model(graph, ir_version=10)
    carry_functions(model)
    return Decoder(model, found, width, 0, "one attention", "")


def _input(name: str, extents: list[int | str]) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(extents), type=ir.TensorType(ir.DataType.INT64))
