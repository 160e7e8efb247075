"""What decoders that read a prompt and decoders that write a token have in common."""

from dataclasses import dataclass

import numpy as np

from egrl.generator.draws import chance, log_uniform, pick, rounded, width_factor
from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.products import Heads, matmul
from egrl.generator.ops.rotary import rotary
from egrl.generator.ops.vectors import layer_norm, rms_norm


@dataclass(frozen=True, slots=True)
class Shape:
    """What a decoder looks like.

    Attributes:
        depth: of a head.
        shared: heads of keys and values.
        group: query heads for each of them.
        hidden: of the layer that widens.
        words: entries of the vocabulary.
        gated: the widening layer has a second branch that multiplies it.
        rotated: positions enter by rotating queries and keys.
        rms: normalization by the root of the mean square.
        tied: the last product shares the table of words.
    """

    depth: int
    shared: int
    group: int
    hidden: int
    words: int
    gated: bool
    rotated: bool
    rms: bool
    tied: bool

    @property
    def width(self) -> int:
        """Of the residual stream."""
        return self.shared * self.group * self.depth

    def heads(self, queries: int, keys: int) -> Heads:
        """Extents of its attention."""
        return Heads(self.shared, self.group, queries, keys, self.depth)


def drawn_shape(rng: np.random.Generator, ops: int) -> Shape:
    """A usual one; deeper ones are narrower."""
    depth = pick(rng, (32, 64, 64, 64, 128))
    group = pick(rng, (1, 1, 2, 3, 4, 8))
    most = log_uniform(rng, 192, 2048) * width_factor(ops)
    shared = max(1, round(most / depth / group))
    width = shared * group * depth
    modern = chance(rng, 0.75)
    gated = modern and chance(rng, 0.9)
    return Shape(
        depth=depth,
        shared=shared,
        group=group,
        hidden=rounded(width * (pick(rng, (2.67, 2.67, 3.5)) if gated else 4)),
        words=pick(rng, (4096, 16384, 32000, 49152, 50257)),
        gated=gated,
        rotated=modern,
        rms=modern,
        tied=chance(rng, 0.6),
    )


def norm(builder: WorkloadBuilder, name: str, source: Value, shape: Shape) -> Value:
    """The normalization of this decoder."""
    if shape.rms:
        return rms_norm(builder, name, source)
    return layer_norm(builder, name, source)


def projected(
    builder: WorkloadBuilder,
    name: str,
    source: Value,
    heads: Heads,
    angles: tuple[Value, Value] | None,
    bias: bool,
) -> Value:
    """Queries or keys of a layer, rotated where there are angles."""
    x = matmul(builder, name, source, heads.count * heads.depth, bias=bias)
    if angles is None:
        return x
    return rotary(builder, f"{name}.rotary", x, heads.result, *angles)


def feed_forward(builder: WorkloadBuilder, name: str, source: Value, shape: Shape) -> Value:
    """Normalization, widening, narrowing, residual sum."""
    x = norm(builder, f"{name}.ffn_norm", source, shape)
    if shape.gated:
        gate = matmul(builder, f"{name}.gate", x, shape.hidden, bias=False, activation="silu")
        x = matmul(builder, f"{name}.up", x, shape.hidden, bias=False, combined=(gate,))
    else:
        x = matmul(builder, f"{name}.up", x, shape.hidden, activation="gelu")
    return matmul(builder, f"{name}.down", x, shape.width, bias=not shape.gated, combined=(source,))


def layer_ops(shape: Shape, cached: bool) -> int:
    """Ops of one layer."""
    return 9 + 2 * shape.rotated + shape.gated + 2 * cached
