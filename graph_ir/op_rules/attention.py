"""Attention: two batches of products over the heads, with the scores kept in a tile.

`Split.COLUMNS` divides the heads (every operand with them), `Split.ROWS` the query rows (keys
and values are needed whole). The scratch holds the scores of up to 32 query rows in fp32.
"""

from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.fusion.groups import Group
from graph_ir.onnx_values import op_key
from graph_ir.op_rules.facts import (
    BOTH,
    OperandFacts,
    OpFacts,
    SplitSpace,
    TypeOf,
    factor_type,
    has_input,
    input_shape,
    output_shape,
)
from graph_ir.op_rules.matmul import FACTORS, product_work
from graph_ir.workload import MacWork, Role, Split

SCORE_TILE_ROWS = 32
SCORE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Heads:
    """Extents of an attention.

    Attributes:
        batch: inferences times query heads.
        queries: query rows.
        keys: key rows, past ones included.
        depth: width of a query.
        value_depth: width of a value.
    """

    batch: int
    queries: int
    keys: int
    depth: int
    value_depth: int


def attention_facts(group: Group, type_of: TypeOf) -> OpFacts:
    """The rule of the family."""
    if len(group.core) == 2:
        return _decomposed(group, type_of)
    node = group.anchor
    heads = heads_of(node)
    space = _space(heads)
    if op_key(node) == "com.microsoft::Attention":
        return _with_projection(group, heads, space, type_of)
    query, key, value = (
        factor_type(group, node, at, type_of)
        if has_input(node, at)
        else factor_type(group, node, 0, type_of)
        for at in range(3)
    )
    work = (
        MacWork(heads.batch, heads.queries, heads.depth, heads.keys, 1, False, query, key),
        MacWork(heads.batch, heads.queries, heads.keys, heads.value_depth, 1, False, query, value),
    )
    operands = {
        (node, 0): OperandFacts(Role.LEFT, space.present(BOTH)),
        (node, 1): OperandFacts(Role.RIGHT, space.present((Split.COLUMNS,))),
        (node, 2): OperandFacts(Role.RIGHT, space.present((Split.COLUMNS,))),
    }
    for at in _PAST_INPUTS.get(op_key(node), ()):
        operands[(node, at)] = OperandFacts(Role.RIGHT, space.present((Split.COLUMNS,)))
    return OpFacts(space, "mac", work, operands, _scratch(heads))


# Inputs that hold keys and values of earlier steps.
_PAST_INPUTS: dict[str, tuple[int, ...]] = {
    "Attention": (4, 5),
    "com.microsoft::GroupQueryAttention": (3, 4),
    "com.microsoft::MultiHeadAttention": (6, 7),
}


def heads_of(node: ir.Node) -> Heads:
    """The extents of an attention that is a single node."""
    key = op_key(node)
    query = input_shape(node, 0)
    result = output_shape(node)
    if key == "Attention":
        if len(query) == 4:
            batch, count, queries, depth = query
            keys, value_depth = input_shape(node, 1)[2], input_shape(node, 2)[3]
        else:
            count = node.attributes.get_int("q_num_heads", 1)
            batch, queries, depth = query[0], query[1], query[2] // count
            keys, value_depth = input_shape(node, 1)[1], result[-1] // count
        past = input_shape(node, 4)[2] if has_input(node, 4) else 0
        return Heads(batch * count, queries, keys + past, depth, value_depth)
    count = node.attributes.get_int("num_heads", 1)
    if key == "com.microsoft::Attention":
        sizes = node.attributes.get_ints("qkv_hidden_sizes", [])
        width = sizes[0] if sizes else input_shape(node, 1)[1] // 3
        past = input_shape(node, 4)[3] if has_input(node, 4) else 0
        return Heads(
            query[0] * count, query[1], query[1] + past, width // count, result[-1] // count
        )
    if key == "com.microsoft::GroupQueryAttention":
        stored = node.outputs[1] if len(node.outputs) > 1 else None
        keys = _extent(stored, 2) or (input_shape(node, 3)[2] if has_input(node, 3) else query[1])
        depth = result[-1] // count
        return Heads(query[0] * count, query[1], keys, depth, depth)
    # MultiHeadAttention: keys are [B, S, width], [B, S, heads, 2, depth] or [B, heads, S, depth].
    past = input_shape(node, 6)[2] if has_input(node, 6) else 0
    keys = query[1]
    if has_input(node, 1):
        shape = input_shape(node, 1)
        keys = shape[2] if len(shape) == 4 else shape[1]
    depth = query[2] // count if len(query) == 3 else query[-1]
    return Heads(query[0] * count, query[1], keys + past, depth, result[-1] // count)


def _extent(value: ir.Value | None, axis: int) -> int:
    if value is None or value.shape is None or value.shape.rank() <= axis:
        return 0
    extent = value.shape[axis]
    return extent if isinstance(extent, int) else 0


def _space(heads: Heads) -> SplitSpace:
    return SplitSpace((heads.batch, heads.queries, heads.value_depth), (1,), (0,))


def _scratch(heads: Heads) -> int:
    return min(heads.queries, SCORE_TILE_ROWS) * heads.keys * heads.batch * SCORE_BYTES


def _with_projection(group: Group, heads: Heads, space: SplitSpace, type_of: TypeOf) -> OpFacts:
    """com.microsoft Attention projects its input to queries, keys and values itself."""
    node = group.anchor
    batch, rows, inner = input_shape(node, 0)
    columns = input_shape(node, 1)[1]
    left = factor_type(group, node, 0, type_of)
    right = factor_type(group, node, 1, type_of)
    work = (
        MacWork(1, batch * rows, inner, columns, 1, False, left, right),
        MacWork(heads.batch, heads.queries, heads.depth, heads.keys, 1, False, left, left),
        MacWork(heads.batch, heads.queries, heads.keys, heads.value_depth, 1, False, left, left),
    )
    by_head = space.present((Split.COLUMNS,))
    operands = {
        (node, 0): OperandFacts(Role.LEFT, ()),
        (node, 1): OperandFacts(Role.RIGHT, by_head),
        (node, 2): OperandFacts(Role.OTHER, by_head),
        (node, 4): OperandFacts(Role.RIGHT, by_head),
    }
    return OpFacts(space, "mac", work, operands, _scratch(heads))


def _decomposed(group: Group, type_of: TypeOf) -> OpFacts:
    scores, weighted = group.core
    first = product_work(group, scores, type_of)
    second = product_work(group, weighted, type_of)
    result = output_shape(weighted)
    rank = len(result)
    if rank >= 3 and first.batch > 1:
        space = SplitSpace(result, (rank - 2,), tuple(range(rank - 2)))
    else:
        space = SplitSpace((second.batch, second.rows, second.columns), (1,), (0,))
    by_head = space.present((Split.COLUMNS,))
    left, right = FACTORS["MatMul"]
    operands = {
        (scores, left): OperandFacts(Role.LEFT, space.present(BOTH)),
        (scores, right): OperandFacts(Role.RIGHT, by_head),
    }
    fed = weighted_input(group)
    operands[(weighted, 1 - fed)] = OperandFacts(Role.RIGHT, by_head)
    heads = Heads(first.batch, first.rows, first.columns, first.inner, second.columns)
    return OpFacts(space, "mac", (first, second), operands, _scratch(heads))


def weighted_input(group: Group) -> int:
    """Which input of the second product the softmax feeds."""
    _, weighted = group.core
    inside = set(group.nodes)
    for at, value in enumerate(weighted.inputs):
        current = value
        producer = None if current is None else current.producer()
        while producer is not None and producer in inside:
            if producer in group.members:
                return at
            current = producer.inputs[0]
            producer = None if current is None else current.producer()
    return 0
