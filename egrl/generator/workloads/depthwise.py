"""Inverted residuals: expansion, depthwise convolution, optional gates, projection."""

import numpy as np

from egrl.generator.draws import chance, log_uniform, pick, rounded, shares, width_factor
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.images import conv, global_pool
from egrl.generator.ops.products import matmul
from egrl.generator.ops.vectors import elementwise
from egrl.generator.workloads.images import image

# Share of the blocks, width relative to the stem, stride of the first block.
_STAGES = (
    (1, 0.5, 1), (2, 0.75, 2), (3, 1.0, 2), (4, 2.0, 2), (3, 3.0, 1), (3, 5.0, 2), (1, 10.0, 1),
)  # fmt: skip
_AROUND = 4
_GATE_OPS = 4
_LEAST_GATED = 30


def depthwise(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops; gates squeeze to one value per channel and excite."""
    gated = ops >= _LEAST_GATED and chance(rng, 0.35)
    activation = pick(rng, ("clip", "relu", "hard_swish", "silu"))
    expansion = pick(rng, (3, 4, 6, 6))
    stages = _STAGES[:: 1 if ops >= 60 else 2 if ops >= 40 else 3]
    width = rounded(log_uniform(rng, 16, 64) * width_factor(ops))
    blocks = max(len(stages), round((ops - _AROUND) / (3 + _GATE_OPS * gated)))
    depths = shares(blocks, [float(stage[0]) for stage in stages])
    x = conv(builder, "stem", image(builder, rng), width, 3, 2, activation=activation)
    for stage, ((_, factor, first_stride), depth) in enumerate(zip(stages, depths, strict=True)):
        channels = rounded(width * factor)
        kernel = pick(rng, (3, 3, 5))
        for block in range(depth):
            stride = first_stride if block == 0 else 1
            x = _block(
                builder, f"stage{stage}.{block}", x, channels, expansion, kernel, stride,
                activation, gated,
            )  # fmt: skip
    x = conv(builder, "head", x, rounded(width * 40), 1, activation=activation)
    x = global_pool(builder, "pool", x)
    return [matmul(builder, "classifier", x, pick(rng, (100, 1000, 1000)), leading=(1,))]


def _block(
    builder: WorkloadBuilder,
    name: str,
    source: Value,
    channels: int,
    expansion: int,
    kernel: int,
    stride: int,
    activation: str,
    gated: bool,
) -> Value:
    inner = source.shape[1] * expansion
    x = conv(builder, f"{name}.expand", source, inner, 1, activation=activation)
    x = conv(
        builder, f"{name}.depthwise", x, inner, kernel, stride, groups=inner, activation=activation
    )
    if gated:
        squeezed = global_pool(builder, f"{name}.squeeze", x)
        gate = conv(builder, f"{name}.reduce", squeezed, rounded(inner / 16), activation="relu")
        gate = conv(builder, f"{name}.excite", gate, inner, activation="hard_sigmoid")
        x = elementwise(builder, f"{name}.gate", [x, gate], x.shape, 1)
    keeps = stride == 1 and source.shape[1] == channels
    return conv(builder, f"{name}.project", x, channels, 1, added=(source,) if keeps else ())
