"""The function behind a node `egrl::CachedAttention`: heads shared out to groups and put back."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.decoder.decoder import DOMAIN, Attention
from graph_ir.kv import standard
from graph_ir.kv.group import GroupShape, Rows, given, renamed
from graph_ir.kv.grouped_query import ChunkTold, FullTold, attend_chunk, attend_full
from graph_ir.kv.operator import OPERATOR, State
from graph_ir.kv.pooled import PooledTold, attend_pooled
from graph_ir.kv.scored import ScoredTold, attend_scored
from graph_ir.kv.standard import StandardTold
from graph_ir.kv.stored import attend_stored
from graph_ir.kv.writing import Writer

Forms = StandardTold | FullTold | ChunkTold | PooledTold | ScoredTold


@dataclass(frozen=True, slots=True)
class Group:
    """One group as a step graph has it.

    Attributes:
        shape: its extents.
        fused: whether operators of onnxruntime may execute it.
        told: what its function is told, values of the step graph.
        states: its tensors.
        before: values of the states before the step.
    """

    shape: GroupShape
    fused: bool
    told: Forms
    states: tuple[State, ...]
    before: tuple[ir.Value, ...]

    @property
    def form(self) -> str:
        """By which operators it is executed."""
        return "onnxruntime" if isinstance(self.told, (FullTold, ChunkTold)) else "standard"


def attention_function(
    attention: Attention, groups: Sequence[Group], opset: int, attributes: Sequence[str]
) -> ir.Function:
    """The function of a node, without an overload.

    Args:
        attention: what the model computes.
        groups: share out its KV heads.
        opset: of the standard operators.
        attributes: names of the node's; the body has their values already.
    """
    writer = Writer("", opset)
    rows = groups[0].shape.rows
    query, key, value = (ir.Value(name=name) for name in ("query", "key", "value"))
    sinks = ir.Value(name="sinks") if attention.sinks else None
    read: list[ir.Value] = [query, key, value] + ([sinks] if sinks is not None else [])
    each = attention.query_heads // attention.kv_heads
    query = writer.op("Mul", query, writer.number(attention.scale))
    query = writer.reshape(query, [1, attention.kv_heads, each * rows, attention.head_width])
    if sinks is not None:
        sinks = writer.reshape(sinks, [attention.kv_heads, each])
    attended: list[ir.Value] = []
    after: list[ir.Value] = []
    for index, group in enumerate(groups):
        told = renamed(group.told, f"group{index}.")
        states = [ir.Value(name=f"group{index}.{state.part}") for state in group.states]
        read += [*given(told), *states]
        part = [_heads(writer, value, group, len(groups), 1) for value in (query, key, value)]
        own_sinks = None
        if sinks is not None:
            own_sinks = _heads(writer, sinks, group, len(groups), 0)
            own_sinks = writer.reshape(own_sinks, [group.shape.heads * each])
        new = Rows(part[0], part[1], part[2], own_sinks)
        output, following = _attend(writer, group, new, told, states)
        attended.append(output)
        after += following
    order = [head for group in groups for head in group.shape.kept.heads]
    merged = writer.concat(attended, 1)
    if order != sorted(order):
        back = [order.index(head) for head in range(len(order))]
        merged = writer.gather(merged, writer.integers(back), 1)
    extents = [1, attention.query_heads, rows, attention.value_width]
    merged = writer.reshape(merged, extents)
    others = sorted({node.domain for node in writer.nodes} - {""})
    graph = ir.Graph(
        read,
        [merged, *after],
        nodes=writer.nodes,
        name=OPERATOR,
        opset_imports={"": opset} | dict.fromkeys(others, 1),
    )
    declared = [ir.Attr(name, ir.AttributeType.UNDEFINED, None) for name in attributes]
    return ir.Function(DOMAIN, OPERATOR, graph=graph, attributes=declared)


def _attend(
    writer: Writer,
    group: Group,
    rows: Rows,
    told: Forms,
    states: Sequence[ir.Value],
) -> tuple[ir.Value, list[ir.Value]]:
    match told:
        case FullTold():
            return attend_full(writer, group.shape, rows, told, states)
        case ChunkTold():
            return attend_chunk(writer, group.shape, rows, told, states)
        case PooledTold():
            return attend_pooled(writer, group.shape, rows, told, states, fused=group.fused)
        case ScoredTold():
            return attend_scored(writer, group.shape, rows, told, states, fused=group.fused)
        case StandardTold():
            attend = attend_stored if group.shape.is_stored else standard.attend
            return attend(writer, group.shape, rows, told, states, fused=group.fused)


def _heads(writer: Writer, value: ir.Value, group: Group, groups: int, axis: int) -> ir.Value:
    """The KV heads of a group out of all."""
    if groups == 1:
        return value
    return writer.gather(value, writer.integers(group.shape.kept.heads), axis)
