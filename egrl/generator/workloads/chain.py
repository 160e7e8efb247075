"""Chains: stages of convolutions with poolings between and large linear layers at the end."""

import numpy as np

from egrl.generator.draws import chance, log_uniform, pick, rounded, shares, width_factor
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.images import conv, pool
from egrl.generator.ops.products import matmul
from egrl.generator.ops.vectors import local_response_norm, softmax
from egrl.generator.workloads.images import image

_SMALL = (64, 96, 128, 160, 192, 224, 224, 224, 256)


def chain(builder: WorkloadBuilder, ops: int, rng: np.random.Generator) -> list[Value]:
    """About `ops` ops: like VGG, or like AlexNet with wide first kernels and normalizations."""
    alex = ops < 40 and chance(rng, 0.35)
    stages = pick(rng, (3, 4, 5)) if ops >= 16 else 2
    linears = pick(rng, (1, 2, 3))
    ends_in_softmax = chance(rng, 0.5)
    normalized = alex and chance(rng, 0.6)
    around = stages + linears + int(ends_in_softmax) + (min(2, stages) if normalized else 0)
    depths = shares(max(stages, ops - around), [1.0 + 0.3 * stage for stage in range(stages)])
    width = rounded(log_uniform(rng, 32, 96) * width_factor(ops))
    most = rounded(width * pick(rng, (4, 8, 8)))
    kernel = pick(rng, (7, 11)) if alex else 3
    x = image(builder, rng, _SMALL)
    for stage, depth in enumerate(depths):
        channels = min(most, width << stage)
        for layer in range(depth):
            first = stage == 0 and layer == 0
            x = conv(
                builder, f"stage{stage}.conv{layer}", x, channels, kernel if first else 3,
                (4 if alex else pick(rng, (1, 1, 2))) if first else 1, activation="relu",
            )  # fmt: skip
        if normalized and stage < 2:
            x = local_response_norm(builder, f"stage{stage}.norm", x)
        if min(x.shape[2:]) > 1:
            x = pool(builder, f"stage{stage}.pool", x, pick(rng, (2, 3)), 2)
    hidden = rounded(log_uniform(rng, 256, 4096) * min(1.0, 2048 / x.elements**0.5 / 8))
    classes = pick(rng, (10, 100, 1000, 1000))
    for layer in range(linears):
        last = layer == linears - 1
        x = matmul(
            builder, f"linear{layer}", x, classes if last else hidden, leading=(1,),
            activation="none" if last else "relu",
        )  # fmt: skip
    return [softmax(builder, "probabilities", x) if ends_in_softmax else x]
