"""Transformer encoders: of tokens (normalization after the sum) or of image patches (before)."""

import numpy as np

from egrl.generator.draws import chance, log_uniform, pick, rounded, width_factor
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.images import conv
from egrl.generator.ops.products import Heads, attention, matmul
from egrl.generator.ops.vectors import elementwise, embedding, layer_norm

_LAYER_OPS = 9
_FUSED_LAYER_OPS = 7


def encoder(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops."""
    depth = pick(rng, (32, 64, 64, 64, 128))
    width = max(depth, rounded(log_uniform(rng, 128, 1280) * width_factor(ops), depth))
    fused = chance(rng, 0.3)
    hidden = width * pick(rng, (2, 4, 4, 4))
    if chance(rng, 0.7):
        x, mask = _tokens(builder, rng, width)
        first_norm = False
    else:
        x, mask = _patches(builder, rng, width), None
        first_norm = True
    rows = x.shape[1]
    heads = Heads(width // depth, 1, rows, rows, depth)
    layers = max(
        1, round((ops - builder.op_count - 1) / (_FUSED_LAYER_OPS if fused else _LAYER_OPS))
    )
    shared: dict[str, Value] = {}
    tied = chance(rng, 0.05)
    for layer in range(layers):
        name = f"layer{layer}"
        inner = layer_norm(builder, f"{name}.norm0", x) if first_norm else x
        mixed = _attention(builder, name, inner, heads, mask, fused, shared if tied else {})
        x = matmul(
            builder, f"{name}.projection", mixed, width, leading=(1, rows), combined=(x,),
            weight=_tied(builder, shared, tied, "projection", (width, width)),
        )  # fmt: skip
        normed = layer_norm(builder, f"{name}.norm1", x)
        x = x if first_norm else normed
        wide = matmul(
            builder, f"{name}.expand", normed, hidden, activation="gelu",
            weight=_tied(builder, shared, tied, "expand", (width, hidden)),
        )  # fmt: skip
        x = matmul(
            builder, f"{name}.contract", wide, width, combined=(x,),
            weight=_tied(builder, shared, tied, "contract", (hidden, width)),
        )  # fmt: skip
        if not first_norm:
            x = layer_norm(builder, f"{name}.norm2", x)
    if first_norm:
        x = layer_norm(builder, "norm", x)
    if chance(rng, 0.6):
        pooled = matmul(
            builder, "pooler", x, width, leading=(1,), elements=width, activation="tanh"
        )
        return [x, pooled]
    return [x]


def _tied(
    builder: WorkloadBuilder,
    shared: dict[str, Value],
    tied: bool,
    name: str,
    shape: tuple[int, int],
) -> Value | None:
    """The weight that all layers share, where they do."""
    if not tied:
        return None
    if name not in shared:
        shared[name] = builder.weight(f"shared.{name}", shape)
    return shared[name]


def _attention(
    builder: WorkloadBuilder,
    name: str,
    x: Value,
    heads: Heads,
    mask: Value | None,
    fused: bool,
    shared: dict[str, Value],
) -> Value:
    width = heads.count * heads.depth
    if fused:
        all_three = matmul(builder, f"{name}.qkv", x, 3 * width)
        return attention(builder, f"{name}.attention", all_three, all_three, all_three, heads, mask)
    query, key, value = (
        matmul(builder, f"{name}.{part}", x, width, weight=shared.get(part))
        for part in ("query", "key", "value")
    )
    return attention(builder, f"{name}.attention", query, key, value, heads, mask)


def _tokens(
    builder: WorkloadBuilder, rng: np.random.Generator, width: int
) -> tuple[Value, Value | None]:
    """Sum of word, position and type embeddings, and the mask of what is padding."""
    rows = pick(rng, (16, 32, 64, 128, 128, 256, 384, 512))
    words = pick(rng, (8192, 21128, 30522, 30522, 50265))
    ids = builder.input("input_ids", (1, rows), "int32")
    types = builder.input("token_types", (1, rows), "int32")
    x = embedding(builder, "words", builder.weight("words.table", (words, width)), ids)
    y = embedding(builder, "types", builder.weight("types.table", (2, width)), types)
    positions = builder.weight("positions", (1, rows, width))
    x = layer_norm(builder, "embedding_norm", x, (y, positions))
    if chance(rng, 0.3):
        return x, None
    given = builder.input("mask", (1, rows), "int32")
    mask = elementwise(builder, "mask.cast", [given], (1, rows), 1, "bool")
    return x, elementwise(builder, "mask.grid", [mask], (1, 1, rows, rows), 1, "bool")


def _patches(builder: WorkloadBuilder, rng: np.random.Generator, width: int) -> Value:
    """Patches of an image, each a token; their positions are added."""
    patch = pick(rng, (14, 16, 16, 32))
    size = patch * pick(rng, (8, 12, 14, 16))
    image = builder.input("image", (1, 3, size, size))
    x = conv(builder, "patches", image, width, patch, patch)
    rows = x.shape[2] * x.shape[3]
    positions = builder.weight("positions", (1, rows, width))
    return elementwise(builder, "tokens", [x, positions], (1, rows, width), 1)
