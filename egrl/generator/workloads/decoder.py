"""Decoders that read a prompt: causal attention over all of it."""

from dataclasses import replace

import numpy as np

from egrl.generator.draws import chance, pick
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.products import attention, matmul
from egrl.generator.ops.vectors import embedding
from egrl.generator.workloads.decoder_layers import (
    Shape,
    drawn_shape,
    feed_forward,
    layer_ops,
    norm,
    projected,
)

_AROUND = 3
"""Embedding, last normalization, product with the vocabulary."""


def decoder(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops; keys and values leave the model where it fills a cache."""
    shape = drawn_shape(rng, ops)
    rows = pick(rng, (16, 32, 64, 128, 128, 256, 512))
    fills_cache = chance(rng, 0.6)
    table = builder.weight("words.table", (shape.words, shape.width))
    x = embedding(builder, "words", table, builder.input("ids", (1, rows), "int32"))
    angles = None
    if shape.rotated:
        angles = (
            builder.weight("cosine", (rows, shape.depth)),
            builder.weight("sine", (rows, shape.depth)),
        )
    mask = builder.weight("causal", (rows, rows))
    kept: list[Value] = []
    for layer in range(max(1, round((ops - _AROUND) / layer_ops(shape, False)))):
        name = f"layer{layer}"
        x, key, value = _attention(builder, name, x, shape, rows, angles, mask)
        kept.extend((key, value))
        x = feed_forward(builder, name, x, shape)
    x = norm(builder, "norm", x, shape)
    logits = matmul(
        builder, "head", x, shape.words, bias=False, weight=table if shape.tied else None
    )
    return [logits, *(kept if fills_cache else ())]


def _attention(
    builder: WorkloadBuilder,
    name: str,
    source: Value,
    shape: Shape,
    rows: int,
    angles: tuple[Value, Value] | None,
    mask: Value,
) -> tuple[Value, Value, Value]:
    """The sum after attention, and the keys and values of the layer."""
    heads = shape.heads(rows, rows)
    single = replace(heads, group=1)
    bias = not shape.gated
    x = norm(builder, f"{name}.norm", source, shape)
    query = projected(builder, f"{name}.query", x, heads, angles, bias)
    key = projected(builder, f"{name}.key", x, single, angles, bias)
    value = matmul(
        builder, f"{name}.value", x, shape.shared * shape.depth, bias=bias, result=single.result
    )
    mixed = attention(builder, f"{name}.attention", query, key, value, heads, mask)
    x = matmul(
        builder, f"{name}.projection", mixed, shape.width, leading=(1, rows), bias=bias,
        combined=(source,),
    )  # fmt: skip
    return x, key, value
