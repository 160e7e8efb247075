"""Inputs and first layers of networks on images."""

import numpy as np

from egrl.generator.draws import pick
from egrl.generator.ops.builder import Value, WorkloadBuilder

_SIZES = (96, 128, 160, 192, 224, 224, 224, 256, 299, 320, 384, 448, 512)


def image(
    builder: WorkloadBuilder, rng: np.random.Generator, sizes: tuple[int, ...] = _SIZES
) -> Value:
    """A colour image, now and then of one channel, of a usual size."""
    size = pick(rng, sizes)
    return builder.input("image", (1, pick(rng, (3, 3, 3, 3, 1)), size, size))


def stem_kernel(rng: np.random.Generator) -> int:
    """Of the first convolution."""
    return pick(rng, (3, 3, 5, 7, 7))
