"""Residual networks: a stem, four stages of basic or bottleneck blocks, pooling, a classifier."""

import numpy as np

from egrl.generator.draws import chance, log_uniform, pick, rounded, shares, width_factor
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.images import conv, global_pool, pool
from egrl.generator.ops.products import matmul
from egrl.generator.workloads.images import image, stem_kernel

_DEPTHS = ((3, 4, 6, 3), (2, 2, 2, 2), (3, 4, 23, 3), (3, 8, 36, 3), (1, 2, 3, 1))
_BEFORE_AND_AFTER = 4
"""Stem, pooling, global pooling, classifier."""


def residual(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops; widths double from stage to stage while images halve."""
    bottleneck = chance(rng, 0.65)
    width = rounded(log_uniform(rng, 24, 96) * width_factor(ops))
    expansion = pick(rng, (4, 4, 2)) if bottleneck else 1
    groups = 32 if bottleneck and width % 32 == 0 and chance(rng, 0.2) else 1
    stages = 4 if ops >= 30 else 3
    per_block = 3 if bottleneck else 2
    depths = shares(
        max(stages, round((ops - _BEFORE_AND_AFTER - stages) / per_block)),
        pick(rng, _DEPTHS)[:stages],
    )
    kernel = stem_kernel(rng)
    x = conv(builder, "stem", image(builder, rng), width, kernel, 2, activation="relu")
    x = pool(builder, "stem.pool", x, 3, 2)
    for stage, depth in enumerate(depths):
        inner = width << stage
        for block in range(depth):
            stride = 2 if block == 0 and stage > 0 else 1
            x = _block(
                builder, f"stage{stage}.{block}", x, inner, expansion, stride, groups, bottleneck
            )
    x = global_pool(builder, "pool", x)
    classes = pick(rng, (10, 100, 365, 1000, 1000, 1000))
    return [matmul(builder, "classifier", x, classes, leading=(1,))]


def _block(
    builder: WorkloadBuilder,
    name: str,
    source: Value,
    width: int,
    expansion: int,
    stride: int,
    groups: int,
    bottleneck: bool,
) -> Value:
    """The op that runs last takes the sum, as in fusion: the shortcut's where it has one."""
    channels = width * expansion
    shortcut = stride != 1 or source.shape[1] != channels
    if bottleneck:
        x = conv(builder, f"{name}.conv1", source, width, 1, activation="relu")
        x = conv(builder, f"{name}.conv2", x, width, 3, stride, groups=groups, activation="relu")
        kernel, last_stride = 1, 1
    else:
        x = conv(builder, f"{name}.conv1", source, width, 3, stride, activation="relu")
        kernel, last_stride = 3, 1
    last = "none" if shortcut else "relu"
    added = () if shortcut else (source,)
    x = conv(
        builder, f"{name}.conv{3 if bottleneck else 2}", x, channels, kernel, last_stride,
        activation=last, added=added,
    )  # fmt: skip
    if shortcut:
        x = conv(
            builder, f"{name}.downsample", source, channels, 1, stride,
            activation="relu", added=(x,),
        )  # fmt: skip
    return x
