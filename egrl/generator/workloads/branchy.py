"""Inception: blocks of parallel branches whose results are concatenated."""

import numpy as np

from egrl.generator.draws import chance, log_uniform, pick, rounded, width_factor
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.images import concat, conv, global_pool, pool
from egrl.generator.ops.products import matmul
from egrl.generator.workloads.images import image, stem_kernel

_AROUND = 5
"""Stem of three ops, global pooling, classifier."""


def branchy(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops; the branches of a block are drawn once for each stage."""
    width = rounded(log_uniform(rng, 96, 320) * width_factor(ops))
    stages = 3 if ops >= 50 else 2
    x = conv(builder, "stem", image(builder, rng), 64, stem_kernel(rng), 2, activation="relu")
    x = pool(builder, "stem.pool", x, 3, 2)
    x = conv(builder, "stem.conv", x, rounded(width * 0.75), 3, activation="relu")
    per_stage = max(1, (ops - _AROUND) // stages)
    for stage in range(stages):
        branches = _branches(rng)
        cost = sum(len(branch) for branch in branches) + 1
        if stage > 0 or min(x.shape[2:]) > 32:
            x = pool(builder, f"stage{stage}.pool", x, 3, 2)
        channels = width << min(stage, 2)
        end = _AROUND - 2 + per_stage * (stage + 1)
        block = 0
        while block == 0 or builder.op_count + cost / 2 <= end:
            x = _block(builder, f"stage{stage}.{block}", x, channels, branches)
            block += 1
    x = global_pool(builder, "pool", x)
    return [matmul(builder, "classifier", x, pick(rng, (100, 1000, 1000)), leading=(1,))]


def _branches(rng: np.random.Generator) -> list[list[tuple[str, int, float]]]:
    """Of each branch the layers: kind, kernel, share of the block's width."""
    found: list[list[tuple[str, int, float]]] = [[("conv", 1, 0.25)]]
    found.append([("conv", 1, 0.375), ("conv", 3, 0.5)])
    if chance(rng, 0.8):
        wide = pick(rng, (5, 3, 7))
        found.append([("conv", 1, 0.0625), ("conv", wide, 0.125)])
        if chance(rng, 0.4):
            found[-1].append(("conv", 3, 0.125))
    found.append([("pool", 3, 0.0), ("conv", 1, 0.125)])
    return found[: pick(rng, (3, 4, 4))] if chance(rng, 0.3) else found


def _block(
    builder: WorkloadBuilder,
    name: str,
    source: Value,
    width: int,
    branches: list[list[tuple[str, int, float]]],
) -> Value:
    ends: list[Value] = []
    for at, branch in enumerate(branches):
        x = source
        for layer, (kind, kernel, share) in enumerate(branch):
            label = f"{name}.branch{at}.{layer}"
            if kind == "pool":
                x = pool(builder, label, x, kernel, 1)
            else:
                x = conv(builder, label, x, rounded(width * share), kernel, activation="relu")
        ends.append(x)
    return concat(builder, f"{name}.concat", ends)
