"""Matrix products and attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from egrl.generator.ops.builder import Reads, Value, WorkloadBuilder
from egrl.generator.ops.epilogue import ACTIVATIONS
from graph_ir.op_rules.attention import SCORE_BYTES, SCORE_TILE_ROWS
from graph_ir.op_rules.facts import BOTH, SplitSpace
from graph_ir.workload import MacWork, OpFamily, Role, Split

PER_SCORE_WITHOUT_MASK = 6
"""Scale and softmax; a mask is one more."""


def matmul(
    builder: WorkloadBuilder,
    name: str,
    source: Value,
    columns: int,
    *,
    leading: tuple[int, ...] | None = None,
    bias: bool = True,
    activation: str = "none",
    combined: Sequence[Value] = (),
    weight: Value | None = None,
    result: tuple[int, ...] | None = None,
    elements: int | None = None,
) -> Value:
    """A linear layer with bias, activation and values that are added or multiplied.

    Args:
        builder: the workload.
        name: of the op.
        source: [..., inner], or anything that a view turns into it.
        columns: of the result.
        leading: of what the view makes of the source, all axes but the last.
        bias: whether there is one.
        activation: a key of `ACTIVATIONS`.
        combined: values of the result's shape, one operation per element each.
        weight: one that another op owns as well, of inner x columns elements.
        result: shape of the result where a view follows.
        elements: of the source that are read.
    """
    leading = source.shape[:-1] if leading is None else leading
    touched = source.elements if elements is None else elements
    rows = prod(leading)
    inner = touched // rows
    if weight is None:
        weight = builder.weight(f"{name}.weight", (inner, columns))
    shape = (*leading, columns)
    space = SplitSpace(shape, tuple(range(len(shape) - 1)), (len(shape) - 1,))
    work = MacWork(1, rows, inner, columns, left_type=source.data_type, right_type=weight.data_type)
    reads = [
        Reads(source, Role.LEFT, space.present((Split.ROWS,)), elements=elements),
        Reads(weight, Role.RIGHT, space.present((Split.COLUMNS,))),
    ]
    if bias:
        reads.append(Reads(builder.weight(f"{name}.bias", (columns,))))
    reads.extend(Reads(value) for value in combined)
    per_element = int(bias) + len(combined) + ACTIVATIONS[activation]
    return builder.add(
        name, OpFamily.MATMUL, reads, result or shape, space, "mac",
        rows * columns * per_element, (work,),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heads:
    """Extents of an attention.

    Attributes:
        shared: heads of keys and values.
        group: query heads for each of them.
        queries: query rows.
        keys: key rows, past ones included.
        depth: of one head.
    """

    shared: int
    group: int
    queries: int
    keys: int
    depth: int

    @property
    def count(self) -> int:
        """Query heads."""
        return self.shared * self.group

    @property
    def result(self) -> tuple[int, ...]:
        """Shape of the result: heads before rows, a group's heads on an axis of their own."""
        if self.group == 1:
            return (1, self.shared, self.queries, self.depth)
        return (1, self.shared, self.group, self.queries, self.depth)


def attention(
    builder: WorkloadBuilder,
    name: str,
    query: Value,
    key: Value,
    value: Value,
    heads: Heads,
    mask: Value | None = None,
) -> Value:
    """Scaled dot products, softmax and weighted sum; one batch of inference.

    A value that holds queries, keys and values side by side may be given three times.
    """
    shape = heads.result
    rank = len(shape)
    space = SplitSpace(shape, (rank - 2,), tuple(range(rank - 2)))
    by_head = space.present((Split.COLUMNS,))
    if heads.shared == 1 and heads.group > 1:
        by_head = ()
    depth, keys = heads.depth, heads.keys
    kept = heads.shared * keys * depth
    kinds = (query.data_type, key.data_type, value.data_type)
    work = (
        MacWork(heads.count, heads.queries, depth, keys, 1, False, kinds[0], kinds[1]),
        MacWork(heads.count, heads.queries, keys, depth, 1, False, kinds[0], kinds[2]),
    )
    asked = heads.count * heads.queries * depth
    reads = [
        Reads(query, Role.LEFT, space.present(BOTH), elements=asked),
        Reads(key, Role.RIGHT, by_head, elements=kept),
    ]
    if mask is not None:
        reads.append(Reads(mask))
    reads.append(Reads(value, Role.RIGHT, by_head, elements=kept))
    scores = heads.count * heads.queries * keys
    return builder.add(
        name, OpFamily.ATTENTION, reads, shape, space, "mac",
        scores * (PER_SCORE_WITHOUT_MASK + int(mask is not None)), work,
        scratch_bytes=min(heads.queries, SCORE_TILE_ROWS) * keys * heads.count * SCORE_BYTES,
    )  # fmt: skip
