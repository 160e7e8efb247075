"""Networks whose early results are read late: U-shaped ones, and detectors with a pyramid."""

import numpy as np

from egrl.generator.draws import chance, log_uniform, pick, rounded, shares, width_factor
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.images import concat, conv, pool, resize, transposed_conv
from egrl.generator.workloads.images import image

_SIZES = (128, 192, 224, 256, 256, 320, 384, 512)


def unet(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops; images grow again and meet those of their size."""
    levels = pick(rng, (2, 3, 4)) if ops < 60 else pick(rng, (3, 4, 4, 5))
    width = rounded(log_uniform(rng, 16, 64) * width_factor(ops))
    is_sum = chance(rng, 0.3)
    transposed = chance(rng, 0.5)
    residual = ops > 100 or chance(rng, 0.3)
    # Down: convolutions and a pooling; up: an enlargement, a concatenation, convolutions.
    joints = levels * (2 if is_sum else 3)
    depths = shares(max(2 * levels + 1, ops - 1 - joints), [1.0] * (2 * levels + 1))
    x = image(builder, rng, _SIZES)
    skips: list[Value] = []
    for level in range(levels):
        x = _stack(builder, f"down{level}", x, width << level, depths[level], residual)
        skips.append(x)
        x = pool(builder, f"down{level}.pool", x, 2, 2)
    x = _stack(builder, "bottom", x, width << levels, depths[levels], residual)
    for level in reversed(range(levels)):
        channels = width << level
        name = f"up{level}"
        skip = skips[level]
        if is_sum:
            x = transposed_conv(builder, f"{name}.enlarge", x, channels, added=(skip,))
        elif transposed:
            x = transposed_conv(builder, f"{name}.enlarge", x, channels)
        else:
            x = resize(builder, f"{name}.enlarge", x, 2)
        if not is_sum:
            x = concat(builder, f"{name}.concat", [skip, x])
        x = _stack(builder, name, x, channels, depths[2 * levels - level], residual)
    return [conv(builder, "head", x, pick(rng, (1, 2, 21)), 1, activation="sigmoid")]


def detector(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops: a backbone, a pyramid from its last stages, two heads at each level."""
    levels = 3 if ops >= 40 else 2
    width = rounded(log_uniform(rng, 24, 64) * width_factor(ops))
    head = pick(rng, (1, 2, 4)) if ops >= 80 else 1
    around = 2 + 3 * levels + 2 * levels * (head + 1)
    depths = shares(max(4, ops - around), (3.0, 4.0, 6.0, 3.0))
    x = conv(builder, "stem", image(builder, rng, _SIZES), width, 3, 2, activation="silu")
    x = pool(builder, "stem.pool", x, 3, 2)
    stages: list[Value] = []
    for stage, depth in enumerate(depths):
        x = _stack(builder, f"stage{stage}", x, width << stage, depth, True, 2 if stage else 1)
        stages.append(x)
    merged = conv(builder, "pyramid.top", stages[-1], 2 * width)
    maps: list[Value] = []
    for level in range(levels):
        if level > 0:
            side = conv(builder, f"pyramid.side{level}", stages[-1 - level], 2 * width)
            merged = resize(builder, f"pyramid.sum{level}", merged, 2, (side,))
        maps.append(conv(builder, f"pyramid.smooth{level}", merged, 2 * width, 3))
    results: list[Value] = []
    for level, found in enumerate(maps):
        for task, channels in (("class", 80), ("box", 4)):
            y = found
            for layer in range(head):
                y = conv(builder, f"{task}{level}.{layer}", y, 2 * width, 3, activation="silu")
            results.append(conv(builder, f"{task}{level}.out", y, channels, 1))
    return results


def _stack(
    builder: WorkloadBuilder,
    name: str,
    source: Value,
    channels: int,
    depth: int,
    residual: bool,
    stride: int = 1,
) -> Value:
    """Convolutions in a row; every other one adds what came in two before it."""
    x = source
    kept = source
    for layer in range(depth):
        ends_block = residual and layer > 0 and layer % 2 == 0
        x = conv(
            builder, f"{name}.{layer}", x, channels, 3, stride if layer == 0 else 1,
            activation="relu", added=(kept,) if ends_block else (),
        )  # fmt: skip
        if layer % 2 == 0:
            kept = x
    return x
