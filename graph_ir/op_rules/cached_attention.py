"""`egrl::CachedAttention`: attention to caches that are states, and to the rows of the step.

For each group of KV heads: two products of the query rows with what is filled, a reading of the
filled part of each cache, a writing of the new rows (and of the compensation slot, once something
has been dropped), the softmax, the widening of integer caches and the folding of what is dropped.

`Split.COLUMNS` divides the query heads; cores that share a KV head share its slots, so that each
reads its part of the caches only. `Split.ROWS` divides the query rows.
"""

from collections.abc import Mapping
from math import prod

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.fusion.groups import Group
from graph_ir.kv.operator import CachedAttention, CachedGroup, cached_attention
from graph_ir.onnx_values import node_name, shape_of
from graph_ir.op_rules.attention import SCORE_BYTES, SCORE_TILE_ROWS
from graph_ir.op_rules.facts import BOTH, OperandFacts, OpFacts, SplitSpace, TypeOf, factor_type
from graph_ir.workload import MacWork, Role, Split

# Scale, bias and softmax, per score (as `vector_cost.PER_SCORE`, which this module cannot import:
# it is imported by it through the families).
_PER_SCORE = 7
# A multiply and an add for each element that is folded into a mean, and for each integer that is
# widened; the bounds of a block, a difference, a division and a rounding for each that is stored.
_PER_FOLDED_ELEMENT = 2
_PER_WIDENED_ELEMENT = 2
_PER_QUANTIZED_ELEMENT = 5
# A comparison, a mask and a product for each score that is counted as important or not.
_PER_COUNTED = 3
_INTEGERS = {4: "int4", 8: "int8"}


def filled_slots(group: CachedGroup, context: int | None) -> int:
    """Slots of a group's caches that hold something after `context` positions.

    Args:
        group: of a node.
        context: positions; as many as there is room for where None.
    """
    if context is None:
        return group.slots
    if group.kept.window == 0:
        return min(context, group.slots)
    kept = group.kept.sinks + group.kept.window
    return min(context, kept) + int(group.kept.compensation and context > kept)


def attended_slots(node: CachedAttention, group: CachedGroup, context: int | None) -> int:
    """Keys that the rows of a step are multiplied with, their own included."""
    filled = filled_slots(group, context)
    if group.kept.is_beside and node.rows > 1:
        keys = filled + node.rows  # the caches as they were, and the chunk beside them
    else:
        keys = min(group.slots, filled + node.rows)
    return min(keys, node.window + node.rows - 1) if node.window else keys


def read_slots(node: CachedAttention, group: CachedGroup, context: int | None) -> int:
    """Slots of each cache that a step reads: of a sliding layer those that its first row sees."""
    filled = filled_slots(group, context)
    return min(filled, node.window - 1) if node.window else filled


def written_slots(node: CachedAttention, group: CachedGroup, context: int | None) -> int:
    """Slots of each cache that a step writes."""
    return min(group.slots, node.rows + int(_folded_rows(node, group, context) > 0))


def cached_attention_facts(
    group: Group, type_of: TypeOf, states: Mapping[ir.Value, ir.Value], context: int | None
) -> OpFacts:
    """The rule of the op.

    Args:
        group: whose anchor it is.
        type_of: what a value is stored in.
        states: pairs of the graph, see `graph_ir.states`.
        context: positions in the caches when the step begins; full caches where None.

    Raises:
        InputError: a cache is no state of the graph.
    """
    anchor = group.anchor
    node = cached_attention(anchor)
    space = SplitSpace((node.query_heads, node.rows, node.value_width), (1,), (0,))
    by_head = space.present((Split.COLUMNS,))
    operands = {
        (anchor, 0): OperandFacts(Role.LEFT, space.present(BOTH)),
        (anchor, 1): OperandFacts(Role.RIGHT, by_head),
        (anchor, 2): OperandFacts(Role.RIGHT, by_head),
    }
    query_type = factor_type(group, anchor, 0, type_of)
    work: list[MacWork] = []
    written: dict[ir.Value, int] = {}
    vector = dequantize = scratch = 0
    for part in node.groups:
        heads = len(part.kept.heads) * node.query_heads // node.kv_heads
        keys = attended_slots(node, part, context)
        if part.kept.shared:  # queries are multiplied with the slots of all heads
            keys *= len(part.kept.heads)
        for before_at, after_at in part.states:
            before, after = anchor.inputs[before_at], anchor.outputs[after_at]
            if before is None or states.get(after) is not before:
                raise InputError(
                    f"node {node_name(anchor)}: expected that its input {before_at} and its output "
                    f"{after_at} are a state in the metadata of the model"
                )
            slot = _slot_elements(before, part)
            operands[(anchor, before_at)] = OperandFacts(
                Role.RIGHT,
                by_head,
                touched_elements=slot * read_slots(node, part, context) if slot else None,
            )
            is_counts = part.kept.buffer > 0 and before_at == part.states[-1][0]
            slots = part.slots if is_counts else written_slots(node, part, context)
            moved = slot * slots
            written[after] = moved if slot else prod(shape_of(before))
        key_type = _INTEGERS.get(part.kept.key_bits, query_type)
        value_type = _INTEGERS.get(part.kept.value_bits, query_type)
        work += [
            MacWork(heads, node.rows, node.head_width, keys, 1, False, query_type, key_type),
            MacWork(heads, node.rows, keys, node.value_width, 1, False, query_type, value_type),
        ]
        for bits, width in (
            (part.kept.key_bits, node.head_width),
            (part.kept.value_bits, node.value_width),
        ):
            if bits in _INTEGERS:
                entries = len(part.kept.heads) * width
                widened = entries * read_slots(node, part, context)
                dequantize += widened * _PER_WIDENED_ELEMENT
                vector += entries * node.rows * _PER_QUANTIZED_ELEMENT
        scores = heads * node.rows * keys
        vector += scores * _PER_SCORE + _folding(node, part, context)
        vector += scores * _PER_COUNTED if part.kept.buffer else 0
        scratch += heads * min(node.rows, SCORE_TILE_ROWS) * keys * SCORE_BYTES
    return OpFacts(
        space, "mac", tuple(work), operands, scratch,
        vector_ops=vector, dequantize_ops=dequantize, written_elements=written,
    )  # fmt: skip


def _slot_elements(state: ir.Value, group: CachedGroup) -> int:
    """Elements of one slot of a cache; 0 for a state that is no cache (scales of channels)."""
    shape = shape_of(state)
    if len(shape) < 3 or shape[2] != group.slots:
        return 0
    return prod(shape) // shape[2]


def _folded_rows(node: CachedAttention, group: CachedGroup, context: int | None) -> int:
    """Rows that a step pushes out into the compensation slot."""
    if not group.kept.compensation:
        return 0
    if context is None:
        return node.rows
    kept = group.kept.sinks + group.kept.window
    return max(0, min(node.rows, context + node.rows - kept))


def _folding(node: CachedAttention, group: CachedGroup, context: int | None) -> int:
    folded = _folded_rows(node, group, context)
    width = node.head_width + node.value_width
    entries = folded + 1 if folded else 0
    return entries * len(group.kept.heads) * width * _PER_FOLDED_ELEMENT
