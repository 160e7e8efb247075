"""Dense networks: every layer's result is appended to all that came before it in its stage."""

import numpy as np

from egrl.generator.draws import chance, log_uniform, pick, rounded, shares, width_factor
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.images import concat, conv, global_pool, pool
from egrl.generator.ops.products import matmul
from egrl.generator.ops.vectors import batch_norm
from egrl.generator.workloads.images import image, stem_kernel

_LAYER_OPS = 4
_TRANSITION_OPS = 3
_AROUND = 5
_DEPTHS = ((6, 12, 24, 16), (6, 12, 32, 32), (4, 4, 8, 6), (1, 1, 1, 1))


def dense(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops. Where layers are many the growth is small, as widths add up."""
    stages = 4 if ops >= 60 else 2
    layers = max(stages, round((ops - _AROUND - _TRANSITION_OPS * (stages - 1)) / _LAYER_OPS))
    depths = shares(layers, [float(depth) for depth in pick(rng, _DEPTHS)[:stages]])
    growth = rounded(log_uniform(rng, 12, 48) * width_factor(ops) ** 1.5, 4)
    squeezed, folded = chance(rng, 0.8), chance(rng, 0.6)
    x = conv(
        builder, "stem", image(builder, rng), rounded(2 * growth), stem_kernel(rng), 2,
        activation="relu",
    )  # fmt: skip
    x = pool(builder, "stem.pool", x, 3, 2)
    for stage, depth in enumerate(depths):
        for layer in range(depth):
            x = _layer(builder, f"stage{stage}.{layer}", x, growth, squeezed, folded)
        if stage < stages - 1:
            x = _transition(builder, f"transition{stage}", x, pick(rng, (0.5, 0.5, 1.0)), folded)
    x = batch_norm(builder, "norm", x, folded=folded)
    x = global_pool(builder, "pool", x)
    return [matmul(builder, "classifier", x, pick(rng, (10, 100, 1000)), leading=(1,))]


def _layer(
    builder: WorkloadBuilder, name: str, source: Value, growth: int, squeezed: bool, folded: bool
) -> Value:
    """The first of the two convolutions narrows; without it there is an op less."""
    x = batch_norm(builder, f"{name}.norm", source, folded=folded)
    if squeezed:
        x = conv(builder, f"{name}.squeeze", x, 4 * growth, 1, activation="relu")
    x = conv(builder, f"{name}.grow", x, growth, 3, bias=False)
    if not squeezed:
        x = conv(builder, f"{name}.mix", x, growth, 1, activation="relu")
    return concat(builder, f"{name}.concat", [source, x])


def _transition(
    builder: WorkloadBuilder, name: str, source: Value, compression: float, folded: bool
) -> Value:
    x = batch_norm(builder, f"{name}.norm", source, folded=folded)
    x = conv(builder, f"{name}.conv", x, rounded(source.shape[1] * compression), 1, bias=False)
    return pool(builder, f"{name}.pool", x, 2, 2) if min(x.shape[2:]) > 1 else x
