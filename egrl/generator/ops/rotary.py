"""Ops of decoders around attention: rotary embeddings and writes into caches."""

from math import prod

from egrl.generator.ops.builder import Reads, Value, WorkloadBuilder
from graph_ir.op_rules.facts import activation_space
from graph_ir.workload import OpFamily, Role

# Of two elements that are turned together: seven operations (slices, products, sums, negation).
PER_ROTATED_PAIR = 7


def rotary(
    builder: WorkloadBuilder,
    name: str,
    source: Value,
    shape: tuple[int, ...],
    cosine: Value,
    sine: Value,
) -> Value:
    """Queries or keys [1, rows, width] turned by position, laid out by head as `shape` says."""
    space = activation_space(shape, (len(shape) - 1,))
    reads = [Reads(source), Reads(cosine), Reads(sine)]
    return builder.add(
        name, OpFamily.ELEMENTWISE, reads, shape, space, "vector",
        prod(shape) * PER_ROTATED_PAIR // 2,
    )  # fmt: skip


def cache_write(
    builder: WorkloadBuilder, name: str, cache: Value, slot: Value, rows: Value
) -> Value:
    """A cache [1, heads, positions, depth] that goes in and comes out with new rows in a slot."""
    space = activation_space(cache.shape)
    batch, heads, _, depth = cache.shape
    seen = (batch, heads, rows.elements // (heads * depth), depth)
    reads = [Reads(cache), Reads(slot), Reads(rows, Role.OTHER, space.splits(seen))]
    return builder.add(name, OpFamily.GATHER, reads, cache.shape, space, "linear", 0)


def cache_append(
    builder: WorkloadBuilder, name: str, cache: Value, slot: Value, rows: Value
) -> Value:
    """A cache that stays in its place: only the new rows are written."""
    space = activation_space(cache.shape)
    batch, heads, _, depth = cache.shape
    seen = (batch, heads, rows.elements // (heads * depth), depth)
    reads = [Reads(slot), Reads(rows, Role.OTHER, space.splits(seen))]
    return builder.add(
        name, OpFamily.GATHER, reads, cache.shape, space, "linear", 0,
        writes=cache, written_elements=rows.elements,
    )  # fmt: skip
