"""The last queries of a prompt: states beside the caches, by which positions are chosen.

SnapKV (arXiv 2404.14469, section 4) calls them the observation window.
"""

import onnx_ir as ir

from graph_ir.decoder.decoder import Decoder
from graph_ir.kv.static_body import PROMPT_PREFIX, Body

OBSERVED = 32
"""Queries of the observation window, as published."""


def observe(body: Body, decoder: Decoder, count: int) -> list[tuple[ir.Value, ir.Value]]:
    """Writes the nodes that keep the last valid queries of all attentions.

    Args:
        body: not static yet; the states become inputs of its graph.
        decoder: whose attentions they are.
        count: queries kept.

    Returns:
        For each attention its state before and after the step, [1, query_heads, count, head_width].
    """
    step = body.step
    writer = step.writer
    new = step.count if step.count is not None else writer.integers([1])
    # Of `count` old rows and those of the step, the last that are no padding.
    last = writer.op("Add", writer.integers(range(count)), new)
    pairs = []
    for index, (attention, operands) in enumerate(zip(decoder.layers, body.operands, strict=True)):
        before = ir.Value(
            name=f"{PROMPT_PREFIX}{index}.query",
            shape=ir.Shape([1, attention.query_heads, count, attention.head_width]),
            type=ir.TensorType(ir.DataType.FLOAT),
        )
        body.model.graph.inputs.append(before)
        after = writer.gather(writer.concat([before, operands[0]], 2), last, 2)
        pairs.append((before, after))
    return pairs
