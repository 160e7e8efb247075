"""The function behind a node `egrl::CachedAttention`: heads shared out to groups and put back."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from graph_ir.decoder.decoder import DOMAIN, Attention
from graph_ir.kv import standard
from graph_ir.kv.group import GroupInputs, GroupShape
from graph_ir.kv.operator import OPERATOR, State
from graph_ir.kv.writing import Writer


@dataclass(frozen=True, slots=True)
class Group:
    """One group as a step graph has it.

    Attributes:
        shape: its extents.
        form: `standard` or `onnxruntime`.
        states: its tensors.
        inputs: what its function gets, values of the step graph.
    """

    shape: GroupShape
    form: str
    states: tuple[State, ...]
    inputs: GroupInputs


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
    writer = Writer("")
    rows = groups[0].shape.rows
    query, key, value = (ir.Value(name=name) for name in ("query", "key", "value"))
    sinks = ir.Value(name="sinks") if attention.sinks else None
    read: list[ir.Value] = [query, key, value] + ([sinks] if sinks is not None else [])
    each = attention.query_heads // attention.kv_heads
    query = writer.op("Mul", query, writer.number(attention.scale))
    query = writer.reshape(query, [1, attention.kv_heads, each * rows, attention.head_width])
    if sinks is not None:
        sinks = _spread(writer, sinks, attention, rows)
    attended: list[ir.Value] = []
    following: list[ir.Value] = []
    for index, group in enumerate(groups):
        inputs = _named(group.inputs, f"group{index}.")
        read += [*inputs.told(), *inputs.states]
        part = [_heads(writer, value, group, len(groups)) for value in (query, key, value)]
        own_sinks = _heads(writer, sinks, group, len(groups)) if sinks is not None else None
        output, states = standard.attend(
            writer, group.shape, part[0], (part[1], part[2]), own_sinks, inputs
        )
        attended.append(output)
        following += states
    order = [head for group in groups for head in group.shape.kept.heads]
    merged = writer.concat(attended, 1)
    if order != sorted(order):
        back = [order.index(head) for head in range(len(order))]
        merged = writer.gather(merged, writer.integers(back), 1)
    extents = [1, attention.query_heads, rows, attention.value_width]
    merged = writer.reshape(merged, extents)
    graph = ir.Graph(
        read,
        [merged, *following],
        nodes=writer.nodes,
        name=OPERATOR,
        opset_imports={"": opset, "com.microsoft": 1},
    )
    declared = [ir.Attr(name, ir.AttributeType.UNDEFINED, None) for name in attributes]
    return ir.Function(DOMAIN, OPERATOR, graph=graph, attributes=declared)


def _named(inputs: GroupInputs, prefix: str) -> GroupInputs:
    """Inputs of a function in the places of a graph's values."""

    def named(part: str, given: ir.Value | None) -> ir.Value | None:
        return None if given is None else ir.Value(name=prefix + part)

    return GroupInputs(
        read=named("read", inputs.read),
        write=ir.Value(name=f"{prefix}write"),
        bias=ir.Value(name=f"{prefix}bias"),
        fold=named("fold", inputs.fold),
        valid=named("valid", inputs.valid),
        alibi=named("alibi", inputs.alibi),
        states=tuple(ir.Value(name=f"{prefix}state{at}") for at in range(len(inputs.states))),
    )


def _heads(writer: Writer, value: ir.Value, group: Group, groups: int) -> ir.Value:
    """The KV heads of a group out of all."""
    if groups == 1:
        return value
    return writer.gather(value, writer.integers(group.shape.kept.heads), 1)


def _spread(writer: Writer, sinks: ir.Value, attention: Attention, rows: int) -> ir.Value:
    """Learned sinks for each row, [1, KV heads, query heads x rows, 1]."""
    each = attention.query_heads // attention.kv_heads
    if rows > 1:
        column = writer.reshape(sinks, [attention.query_heads, 1])
        sinks = writer.op("Expand", column, writer.integers([attention.query_heads, rows]))
    return writer.reshape(sinks, [1, attention.kv_heads, each * rows, 1])
