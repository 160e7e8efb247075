"""Ops of the vector unit on activations of any rank: arithmetic, normalization, gathers."""

from collections.abc import Sequence
from math import prod

from egrl.generator.ops.builder import Reads, Value, WorkloadBuilder
from graph_ir.op_rules.facts import activation_space
from graph_ir.workload import OpFamily, Role, Split

PER_NORMALIZED_ELEMENT = 8
PER_SOFTMAX_ELEMENT = 5
# Square, mean, division and scale of an element; epsilon and root of a row.
PER_RMS_ELEMENT, PER_RMS_ROW = 7, 5
PER_BATCH_NORM_ELEMENT = 2


def elementwise(
    builder: WorkloadBuilder,
    name: str,
    sources: Sequence[Value],
    shape: tuple[int, ...],
    per_element: int,
    data_type: str | None = None,
) -> Value:
    """Arithmetic on broadcast operands."""
    space = activation_space(shape)
    return builder.add(
        name, OpFamily.ELEMENTWISE, [Reads(source) for source in sources], shape, space, "vector",
        prod(shape) * per_element, data_type=data_type,
    )  # fmt: skip


def batch_norm(
    builder: WorkloadBuilder, name: str, source: Value, activation: int = 1, *, folded: bool = False
) -> Value:
    """A normalization by constants of each channel that no convolution could take in.

    There are four, or a scale and a shift where they were folded.
    """
    channels = source.shape[1]
    parts = ("scale", "shift") if folded else ("scale", "shift", "mean", "variance")
    extents = (1, channels, 1, 1) if folded else (channels,)
    constants = [builder.weight(f"{name}.{part}", extents) for part in parts]
    return elementwise(
        builder, name, [source, *constants], source.shape, PER_BATCH_NORM_ELEMENT + activation
    )


def layer_norm(
    builder: WorkloadBuilder, name: str, source: Value, added: Sequence[Value] = ()
) -> Value:
    """Over the last axis, with scale and shift, of a sum."""
    space = activation_space(source.shape, (len(source.shape) - 1,))
    width = source.shape[-1]
    reads = [Reads(source), *(Reads(value) for value in added)]
    reads.extend(Reads(builder.weight(f"{name}.{part}", (width,))) for part in ("scale", "shift"))
    vector_ops = source.elements * (PER_NORMALIZED_ELEMENT + len(added))
    return builder.add(
        name, OpFamily.NORMALIZATION, reads, source.shape, space, "vector", vector_ops
    )


def rms_norm(builder: WorkloadBuilder, name: str, source: Value) -> Value:
    """By the root of the mean square over the last axis, decomposed, with a scale."""
    space = activation_space(source.shape, (len(source.shape) - 1,))
    reads = [Reads(source), Reads(builder.weight(f"{name}.scale", (source.shape[-1],)))]
    rows = prod(source.shape[:-1])
    vector_ops = source.elements * PER_RMS_ELEMENT + rows * PER_RMS_ROW
    return builder.add(
        name, OpFamily.NORMALIZATION, reads, source.shape, space, "vector", vector_ops
    )


def local_response_norm(builder: WorkloadBuilder, name: str, source: Value) -> Value:
    """Over neighbouring channels."""
    space = activation_space(source.shape, (1,))
    return builder.add(
        name, OpFamily.NORMALIZATION, [Reads(source)], source.shape, space, "vector",
        source.elements * PER_NORMALIZED_ELEMENT,
    )  # fmt: skip


def softmax(builder: WorkloadBuilder, name: str, source: Value) -> Value:
    """Over the last axis."""
    space = activation_space(source.shape, (len(source.shape) - 1,))
    return builder.add(
        name, OpFamily.SOFTMAX, [Reads(source)], source.shape, space, "vector",
        source.elements * PER_SOFTMAX_ELEMENT,
    )  # fmt: skip


def embedding(builder: WorkloadBuilder, name: str, table: Value, indices: Value) -> Value:
    """Rows of a table, picked by token: [batch, tokens] of [entries, width]."""
    shape = (*indices.shape, table.shape[1])
    space = activation_space(shape)
    reads = [
        Reads(
            table,
            Role.OTHER,
            space.present((Split.COLUMNS,)),
            elements=min(table.elements, prod(shape)),
        ),
        Reads(indices, Role.OTHER, space.present((Split.ROWS,))),
    ]
    return builder.add(name, OpFamily.GATHER, reads, shape, space, "linear", 0)
