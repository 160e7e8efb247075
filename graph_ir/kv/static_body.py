"""A decoder's graph with its attentions cut out, static for a number of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import onnx_ir as ir
from onnx_ir.passes import common

from graph_ir.decoder.decoder import ATTENTION, DOMAIN, LOGITS, POSITIONS, ROWS, Decoder
from graph_ir.dims import bind_dims
from graph_ir.errors import InputError
from graph_ir.functions import inline_functions
from graph_ir.kv.slots import Step
from graph_ir.kv.writing import Writer
from graph_ir.naming import name_everything
from graph_ir.node_forms import static_shape
from graph_ir.static_shapes import make_static

PAST = "past_length"
COUNT = "count"
DROPPED = "dropped"
PROMPT_PREFIX = "prompt."
"""Of the states of a prompt that is read whole before anything is chosen of it."""
STEP_PREFIX = "step."
LastRow = Literal["product", "logits", "none"]
_RESERVED = ("cache.", "next.", PROMPT_PREFIX, STEP_PREFIX)

# What may stand between the product that makes logits and the logits themselves.
_ROWWISE = frozenset(
    {"Add", "Cast", "Clip", "Div", "Identity", "Mul", "Reshape", "Squeeze", "Sub", "Tanh"}
    | {"Unsqueeze"}
)


@dataclass(frozen=True, slots=True)
class Body:
    """The graph around the attentions.

    Attributes:
        model: its graph lacks the attentions: what they read are extra outputs, what they computed
            extra inputs.
        operands: what each attention reads: query, key, value, and learned sinks.
        results: what each attention computes.
        step: positions of the rows, to write further nodes.
    """

    model: ir.Model
    operands: tuple[tuple[ir.Value, ...], ...]
    results: tuple[ir.Value, ...]
    step: Step


def open_body(decoder: Decoder, rows: int, last_row: LastRow) -> Body:
    """Cuts the attentions out of a copy; nothing is static yet.

    Args:
        decoder: is not changed.
        rows: of the step.
        last_row: where the last valid row is taken out of several: before the `product` that makes
            logits (or of the logits where there is none), of the `logits`, or nowhere.
    """
    model = decoder.model.clone()
    graph = model.graph
    _rename_reserved(graph)
    operands, results = [], []
    nodes = {
        node.name: node for node in graph if (node.domain, node.op_type) == (DOMAIN, ATTENTION)
    }
    for index, attention in enumerate(decoder.layers):
        node = nodes.get(attention.node)
        if node is None:
            raise InputError(f"attention {index}: the decoder has no node {attention.node!r}")
        old = node.outputs[0]
        extents = [1, attention.query_heads, rows, attention.value_width]
        result = ir.Value(name=old.name, shape=ir.Shape(extents), type=ir.TensorType(_FLOAT))
        operands.append(tuple(value for value in node.inputs if value is not None))
        old.replace_all_uses_with(result, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        graph.inputs.append(result)
        results.append(result)
    for identifier in list(model.functions):
        if identifier[:2] == (DOMAIN, ATTENTION):
            del model.functions[identifier]
    inline_functions(model, decoder.source_path)
    step = _open_step(graph, rows, model.opset_imports.get("", 1))
    if last_row != "none":
        _keep_last_row(graph, step, last_row == "product")
    return Body(model, tuple(operands), tuple(results), step)


_FLOAT = ir.DataType.FLOAT


def _open_step(graph: ir.Graph, rows: int, opset: int) -> Step:
    """Puts `past_length` and `count` in the place of `positions`."""
    past = integer_input(PAST)
    count = integer_input(COUNT) if rows > 1 else None
    step = Step(Writer(STEP_PREFIX, opset), past, count, rows)
    positions = next(value for value in graph.inputs if value.name == POSITIONS)
    positions.replace_all_uses_with(step.model_positions())
    graph.inputs.remove(positions)
    graph.inputs.extend([past] if count is None else [past, count])
    return step


def integer_input(name: str) -> ir.Value:
    """An input int64 [1]."""
    return ir.Value(name=name, shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.INT64))


def close_body(
    body: Body, told: Sequence[ir.Value], source: str
) -> tuple[list[tuple[ir.Value, ...]], list[ir.Value]]:
    """Makes the graph static.

    Args:
        body: whose step's nodes become part of the graph.
        told: values of those nodes to keep.
        source: of the decoder, for messages.

    Returns:
        The operands of each attention and the told values, as they are now.
    """
    model, graph = body.model, body.model.graph
    kept = [value for operands in body.operands for value in operands] + list(told)
    graph.outputs.extend(kept)
    # First, because the decoder reads positions.
    graph.extend(body.step.writer.nodes)
    graph.sort()
    common.RemoveUnusedNodesPass()(model)
    bind_dims(graph, {ROWS: body.step.rows}, source)
    make_static(graph, model.opset_imports, source)
    found = iter(list(graph.outputs)[1:])
    operands = [tuple(next(found) for _ in values) for values in body.operands]
    rest = list(found)
    graph.outputs[1:] = []  # `del` would leave them marked as outputs
    name_everything(graph)
    return operands, rest


def _rename_reserved(graph: ir.Graph) -> None:
    """Makes room for the names of a step graph."""
    values = list(graph.initializers.values())
    values += [output for node in graph for output in node.outputs]
    for value in values:
        name = value.name or ""
        if name in (PAST, COUNT, DROPPED) or name.startswith(_RESERVED):
            value.name = f"decoder.{name}"


def _keep_last_row(graph: ir.Graph, step: Step, before_product: bool) -> None:
    """Has logits computed for the last valid row alone."""
    writer = step.writer
    assert step.count is not None
    last = writer.op("Sub", step.count, writer.integers([1]))
    logits = graph.outputs[0]
    product = _last_product(graph, logits) if before_product else None
    if product is None:
        row = writer.op("Gather", logits, last, attributes={"axis": 1})
        logits.name = f"{STEP_PREFIX}all_logits"
        row.name = LOGITS
        row.type, row.shape = logits.type, ir.Shape([1, 1, logits.shape[2] if logits.shape else 0])
        graph.outputs[0] = row
        return
    rows = product.inputs[0]
    assert rows is not None
    product.replace_input_with(0, writer.op("Gather", rows, last, attributes={"axis": -2}))
    logits.shape = ir.Shape([1, 1, logits.shape[2] if logits.shape else 0])


def takes_a_row(body: Body) -> bool:
    """Whether what a static graph takes for its logits is one of its rows."""
    for node in body.model.graph:
        if node.op_type == "Gather" and (node.name or "").startswith(STEP_PREFIX):
            value = node.inputs[0]
            extents = static_shape(value.shape) if value is not None and value.shape else ()
            return extents[-2:-1] == (body.step.rows,) and prod(extents[:-2]) == 1
    return False


def _last_product(graph: ir.Graph, logits: ir.Value) -> ir.Node | None:
    """The product with a constant that makes the logits, if only row-wise nodes follow it."""
    varying = _varying(graph)
    value = logits
    while True:
        node = value.producer()
        if node is None:
            return None
        read = [index for index, given in enumerate(node.inputs) if given in varying]
        if len(read) != 1:
            return None
        first = node.inputs[read[0]]
        assert first is not None
        if node.op_type in ("MatMul", "Gemm", "MatMulNBits") and read == [0]:
            return None if node.attributes.get_int("transA", 0) else node
        if node.op_type not in _ROWWISE:
            return None
        value = first


def _varying(graph: ir.Graph) -> set[ir.Value]:
    """Values that depend on what the inputs hold, not on their shapes alone."""
    varying = set(graph.inputs)
    graph.sort()
    for node in graph:
        if node.op_type not in ("Shape", "Size") and not varying.isdisjoint(
            value for value in node.inputs if value is not None
        ):
            varying.update(node.outputs)
    return varying
