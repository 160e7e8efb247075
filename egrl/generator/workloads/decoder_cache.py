"""Decoders that write one token: products of one row, and caches of all earlier positions.

A cache either goes in and comes out, as the inputs and outputs of an exported model do, or stays in
its place as a state of which only the new row is written.
"""

from dataclasses import dataclass, replace

import numpy as np

from egrl.generator.draws import chance, log_uniform
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.products import attention, matmul
from egrl.generator.ops.rotary import cache_append, cache_write
from egrl.generator.ops.vectors import elementwise, embedding
from egrl.generator.workloads.decoder_layers import (
    Shape,
    drawn_shape,
    feed_forward,
    layer_ops,
    norm,
    projected,
)

_AROUND = 7
"""Three ops for the angles, the mask, embedding, last normalization, product with the words."""

_POSITIONS = (128, 4096)


@dataclass(frozen=True, slots=True)
class _Step:
    """What all layers of a step share.

    Attributes:
        shape: of the decoder.
        positions: of a cache.
        slot: where the new row goes.
        mask: of positions that are not yet filled.
        angles: cosine and sine of the position.
        is_state: caches stay in their place.
    """

    shape: Shape
    positions: int
    slot: Value
    mask: Value
    angles: tuple[Value, Value] | None
    is_state: bool


def decoder_cache(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops."""
    shape = drawn_shape(rng, ops)
    positions = 64 * round(log_uniform(rng, *_POSITIONS) / 64)
    at = builder.input("position", (1, 1), "int32")
    step = _Step(
        shape,
        positions,
        elementwise(builder, "slot", [at], (1, 1, 1, 3), 1, "int32"),
        _mask(builder, at, positions),
        _angles(builder, at, shape),
        chance(rng, 0.5),
    )
    table = builder.weight("words.table", (shape.words, shape.width))
    x = embedding(builder, "words", table, builder.input("ids", (1, 1), "int32"))
    kept: list[Value] = []
    for layer in range(max(1, round((ops - _AROUND) / layer_ops(shape, True)))):
        name = f"layer{layer}"
        x = feed_forward(builder, name, _attention(builder, name, x, step, kept), shape)
    x = norm(builder, "norm", x, shape)
    logits = matmul(
        builder, "head", x, shape.words, bias=False, weight=table if shape.tied else None
    )
    return [logits, *kept]


def _mask(builder: WorkloadBuilder, at: Value, positions: int) -> Value:
    counted = builder.weight("positions", (positions,), "int32")
    return elementwise(builder, "mask", [counted, at], (1, positions), 2)


def _angles(builder: WorkloadBuilder, at: Value, shape: Shape) -> tuple[Value, Value] | None:
    if not shape.rotated:
        return None
    extent = (1, shape.depth)
    frequencies = builder.weight("frequencies", (shape.depth,))
    angle = elementwise(builder, "angle", [at, frequencies], extent, 1)
    return (
        elementwise(builder, "cosine", [angle], extent, 4),
        elementwise(builder, "sine", [angle], extent, 4),
    )


def _attention(
    builder: WorkloadBuilder, name: str, source: Value, step: _Step, kept: list[Value]
) -> Value:
    """The sum after attention; caches that leave the model are appended to `kept`."""
    shape = step.shape
    heads = shape.heads(1, step.positions)
    single = replace(heads, group=1)
    bias = not shape.gated
    x = norm(builder, f"{name}.norm", source, shape)
    query = projected(builder, f"{name}.query", x, heads, step.angles, bias)
    key = projected(builder, f"{name}.key", x, single, step.angles, bias)
    keys = _cache(builder, f"{name}.key", step, key, kept)
    value = matmul(builder, f"{name}.value", x, shape.shared * shape.depth, bias=bias)
    values = _cache(builder, f"{name}.value", step, value, kept)
    mixed = attention(builder, f"{name}.attention", query, keys, values, heads, step.mask)
    return matmul(
        builder, f"{name}.projection", mixed, shape.width, leading=(1, 1), bias=bias,
        combined=(source,),
    )  # fmt: skip


def _cache(
    builder: WorkloadBuilder, name: str, step: _Step, rows: Value, kept: list[Value]
) -> Value:
    extents = (1, step.shape.shared, step.positions, step.shape.depth)
    if step.is_state:
        cache = builder.state(f"{name}.cache", extents)
        return cache_append(builder, f"{name}.write", cache, step.slot, rows)
    cache = builder.input(f"{name}.cache", extents)
    kept.append(cache_write(builder, f"{name}.write", cache, step.slot, rows))
    return kept[-1]
