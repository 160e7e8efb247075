"""A decoder with caches: the graph of one step, of one row or a chunk of the prompt.

Inputs: `input_ids` int64 [1, rows]; `past_length` int64 [1], positions already in the caches;
with several rows also `count` int64 [1], how many of them are valid: the rest is padding, of
which nothing stays. Then the states `cache.LAYER.GROUP.PART`, zeros at first. Outputs: `logits`;
then the states as they are afterwards, `next.LAYER.GROUP.PART`, which may be bound to the same
memory as those before. Every attention is one node (`graph_ir.kv.operator`).

Where positions of the prompt are chosen there is a further input, `dropped` int64 [1]: how many
were not. The prompt itself is then read by another graph, which keeps all of it (`prompt_graph`),
and `graph_ir.kv.select` makes the states here out of those there.

Entries that hold no position yet have no influence as long as they and their products with queries
are finite.
"""

import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import onnx_ir as ir
from onnx_ir.passes import common

from graph_ir.decoder.decoder import DOMAIN, Decoder
from graph_ir.errors import InputError
from graph_ir.kv.function import Group, attention_function
from graph_ir.kv.group import given
from graph_ir.kv.layout import KvLayout, prompt_layout
from graph_ir.kv.observed import observe
from graph_ir.kv.operator import OPERATOR, STATES, CachedGroup, node_attributes
from graph_ir.kv.plan_groups import plan_groups
from graph_ir.kv.scoring import Scoring
from graph_ir.kv.slots import Step
from graph_ir.kv.static_body import (
    DROPPED,
    PROMPT_PREFIX,
    Body,
    close_body,
    integer_input,
    open_body,
    takes_a_row,
)

Form = Literal["standard", "onnxruntime"]
Logits = Literal["last", "all"]
_IR_VERSION = 10  # functions with overloads


def step_graph(
    decoder: Decoder, layout: KvLayout, rows: int, form: Form, logits: Logits = "last"
) -> ir.Model:
    """The graph of a step.

    Several rows attend to the caches as they were before them and, causally, to one another;
    what they push out of a ring is folded into the means and they are written afterwards. A single
    row is written first.

    Args:
        decoder: is not changed; weights are shared with it.
        layout: what is kept.
        rows: new positions of a step, at most the smallest window.
        form: `standard` executes everywhere; `onnxruntime` is what onnxruntime is fastest with.
        logits: of the `last` valid row, [1, 1, vocabulary], or of `all`, [1, rows, vocabulary].

    Returns:
        A model with static shapes, whose metadata `egrl.states` pairs the states.

    Raises:
        InputError: the layout is not one of this decoder, or rows do not fit it.
    """
    _check(decoder, layout, rows)
    return _step_graph(decoder, layout, rows, form, logits, None)


def prompt_graph(
    decoder: Decoder, layout: KvLayout, rows: int, form: Form, logits: Logits = "last"
) -> ir.Model:
    """The graph that reads a prompt of which positions are chosen afterwards.

    Its states are called `prompt.` instead of `cache.`: caches with room for the whole context, and
    for each attention what its `scoring` needs of the queries: the last `OBSERVED`,
    `prompt.LAYER.query` [1, query_heads, OBSERVED, head_width], the latest at the end, or
    `prompt.LAYER.query_mean` and `prompt.LAYER.query_spread` (`graph_ir.kv.query_statistics`).

    Args:
        decoder: is not changed; weights are shared with it.
        layout: in which positions are chosen.
        rows: of a step.
        form: as of `step_graph`.
        logits: as of `step_graph`.

    Raises:
        InputError: as `step_graph`.
    """
    _check(decoder, layout, 1)
    whole = prompt_layout(layout)
    _check(decoder, whole, rows)
    return _step_graph(decoder, whole, rows, form, logits, layout.scoring)


def _step_graph(
    decoder: Decoder,
    layout: KvLayout,
    rows: int,
    form: Form,
    logits: Logits,
    observed: Scoring | None,
) -> ir.Model:
    prefix = PROMPT_PREFIX if observed is not None else "cache."
    for last_row in ("product", "logits") if logits == "last" and rows > 1 else ("none",):
        body = open_body(decoder, rows, last_row)
        step = _without_dropped(body) if layout.keep else body.step
        layers = plan_groups(decoder, layout, step, fused=form == "onnxruntime", prefix=prefix)
        told = [value for groups in layers for group in groups for value in given(group.told)]
        queries = observe(body, decoder, observed) if observed is not None else []
        told += [after for _, after in queries]
        operands, told = close_body(body, told, decoder.source_path)
        if last_row != "product" or takes_a_row(body):
            break
    after = told[len(told) - len(queries) :]
    extra = [(before, now) for (before, _), now in zip(queries, after, strict=True)]
    _put_back(decoder, body, operands, layers, iter(told), extra)
    return body.model


def _without_dropped(body: Body) -> Step:
    """The step as caches count its positions that lack some of the prompt's."""
    step, dropped = body.step, integer_input(DROPPED)
    body.model.graph.inputs.append(dropped)
    past = step.writer.op("Sub", step.past, dropped)
    return Step(step.writer, past, step.count, step.rows)


def _check(decoder: Decoder, layout: KvLayout, rows: int) -> None:
    where = decoder.source_path
    if len(layout.layers) != len(decoder.layers):
        raise InputError(
            f"{where}: KV layout: expected {len(decoder.layers)} attentions, "
            f"got {len(layout.layers)}"
        )
    if layout.context < 1 or 0 < decoder.most_positions < layout.context:
        most = decoder.most_positions or "any number of"
        raise InputError(
            f"{where}: context: the model was built for {most} positions, got {layout.context}"
        )
    for index, (attention, groups) in enumerate(zip(decoder.layers, layout.layers, strict=True)):
        heads = sorted(head for group in groups for head in group.heads)
        if heads != list(range(attention.kv_heads)):
            raise InputError(
                f"{where}: KV layout of attention {index}: expected each of {attention.kv_heads} "
                f"KV heads once, got {heads}"
            )
        for group in groups:
            most = group.most_rows(layout.context)
            if not 1 <= rows <= most:
                raise InputError(
                    f"{where}: rows of a step: expected 1 to {most}, what attention {index} keeps, "
                    f"got {rows}"
                )
            widths = (
                (attention.head_width, group.key_bits),
                (attention.value_width, group.value_bits),
            )
            if any(bits == 4 and width % 2 for width, bits in widths):
                raise InputError(
                    f"{where}: attention {index}: expected keys and values of even width for 4 "
                    f"bits, got {attention.head_width} and {attention.value_width}"
                )
            by_content = group.keep or group.buffer
            if by_content and (attention.window or attention.slopes or attention.sinks):
                raise InputError(
                    f"{where}: attention {index}: expected no sliding window, ALiBi or learned "
                    "sinks where positions are kept by their content"
                )
            if group.compensation and attention.window:
                raise InputError(
                    f"{where}: attention {index} sees a window of {attention.window} positions: "
                    "expected no compensation for what is dropped"
                )
        if min(attention.slopes, default=1.0) <= 0.0:
            raise InputError(f"{where}: attention {index}: expected positive ALiBi slopes")


def _put_back(
    decoder: Decoder,
    body: Body,
    operands: Sequence[Sequence[ir.Value]],
    layers: Sequence[Sequence[Group]],
    told: Iterator[ir.Value],
    extra: Sequence[tuple[ir.Value, ir.Value]],
) -> None:
    """Puts the attentions into the static graph, the states beside its inputs and outputs."""
    model, graph = body.model, body.model.graph
    functions: dict[Hashable, ir.Function] = {}
    pairs: list[tuple[ir.Value, ir.Value]] = []
    for index, attention in enumerate(decoder.layers):
        groups = layers[index]
        read = list(operands[index])
        cached = []
        output = 1
        for group in groups:
            read += [next(told) for _ in given(group.told)]
            numbers = range(len(group.states))
            positions = tuple((len(read) + at, output + at) for at in numbers)
            shape = group.shape
            cached.append(CachedGroup(shape.kept, shape.slots, group.form, positions))
            read += group.before
            output += len(group.states)
        attributes = node_attributes(index, body.step.rows, attention, cached)
        key = (replace(attention, node="", form=""), *((g.shape.kept, g.form) for g in groups))
        if key not in functions:
            opset = model.opset_imports[""]
            function = attention_function(attention, groups, opset, tuple(attributes))
            function.overload = str(len(functions))
            functions[key] = function
            model.functions[function.identifier()] = function
        node = ir.Node(
            DOMAIN,
            OPERATOR,
            read,
            attributes,
            overload=functions[key].overload,
            num_outputs=output,
            name=attention.node,
        )
        pairs += _connect(graph, body.results[index], node, groups)
    graph.sort()
    for before, after in extra:
        after.name = _next_name(before)
        after.type, after.shape = before.type, before.shape
        graph.inputs.remove(before)
    pairs += extra
    graph.inputs.extend(state for state, _ in pairs)
    graph.outputs.extend(state for _, state in pairs)
    common.RemoveUnusedNodesPass()(model)
    model.opset_imports.setdefault(DOMAIN, 1)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    names = [[before.name, after.name] for before, after in pairs]
    model.metadata_props[STATES] = json.dumps(names)


def _connect(
    graph: ir.Graph, placeholder: ir.Value, node: ir.Node, groups: Sequence[Group]
) -> list[tuple[ir.Value, ir.Value]]:
    """Puts a node in the place of what it computes; returns its states before and after."""
    result, *after = node.outputs
    result.type, result.shape = placeholder.type, placeholder.shape
    graph.inputs.remove(placeholder)
    placeholder.replace_all_uses_with(result, replace_graph_outputs=True)
    result.name = placeholder.name
    graph.append(node)
    before = [state for group in groups for state in group.before]
    for old, new in zip(before, after, strict=True):
        new.name = _next_name(old)
        new.type, new.shape = old.type, old.shape
    return list(zip(before, after, strict=True))


def _next_name(before: ir.Value) -> str:
    """Name of a state after the step."""
    name = before.name or ""
    return name.replace("cache.", "next.", 1) if name.startswith("cache.") else f"next.{name}"
