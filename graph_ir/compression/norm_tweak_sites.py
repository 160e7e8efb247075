"""The norms of a graph whose scale and bias quantized products alone read."""

from collections.abc import Container
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.awq_fold import Place
from graph_ir.compression.residual_stream_ops import channels_of, moves_rows, vector_of
from graph_ir.onnx_values import node_name, op_key
from graph_ir.passes.rewiring import add_constant, graph_of

F64 = NDArray[np.float64]

_NORMS = ("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization")


@dataclass(frozen=True, slots=True, eq=False)
class TweakedNorm:
    """Constants by channel right before products.

    Attributes:
        value: what the norm gives, scale and bias included.
        scale: its scale.
        bias: its bias; None where it has none.
        readers: names of the products, in topological order.
    """

    value: ir.Value
    scale: Place
    bias: Place | None
    readers: tuple[str, ...]

    def bias_K(self) -> F64:
        """The bias as it is now, zeros where there is none."""
        width = channels_of(self.value)[-1]
        value = None if self.bias is None else self.bias.node.inputs[self.bias.index]
        vector_K = None if value is None else vector_of(value, width)
        return np.zeros(width) if vector_K is None else vector_K


def find_norms(graph: ir.Graph, products: Container[str]) -> list[TweakedNorm]:
    """Norms in topological order.

    Args:
        graph: with quantized weights.
        products: names of the products whose weights were quantized.
    """
    found: list[TweakedNorm] = []
    for node in graph:
        for value in node.outputs[:1]:
            constants = _constants_of(node)
            readers = _readers(value, products) if constants else None
            if constants and readers:
                found.append(TweakedNorm(value, *constants, tuple(readers)))
    return found


def _constants_of(node: ir.Node) -> tuple[Place, Place | None] | None:
    """Scale and bias of what a node gives by channel; None where it has no scale."""
    width = channels_of(node.outputs[0])[-1] if channels_of(node.outputs[0]) else 0
    op = op_key(node)
    if op in _NORMS:
        scale = Place(node, 1, 0)
        has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
        rank = len(channels_of(node.outputs[0]))
        if node.attributes.get_int("axis", -1) % rank != rank - 1 or not _is_vector(scale, width):
            return None
        return scale, Place(node, 2, 0) if has_bias else None
    if op == "Add":
        for at in (0, 1):
            bias, before = Place(node, 1 - at, 0), node.inputs[at]
            producer = None if before is None else before.producer()
            if producer is None or op_key(producer) != "Mul" or not _is_vector(bias, width):
                continue
            scaled = _constants_of(producer)
            if scaled is not None and len(producer.outputs[0].uses()) == 1:
                return scaled[0], bias
    if op == "Mul":
        for at in (0, 1):
            if _is_vector(Place(node, at, 0), width):
                axis = max(len(channels_of(node.inputs[at])) - 1, 0)
                return Place(node, at, axis), None
    return None


def _is_vector(place: Place, width: int) -> bool:
    value = place.node.inputs[place.index]
    return (
        value is not None
        and channels_of(value)[-1:] == (width,)
        and (vector_of(value, width) is not None)
    )


def _readers(value: ir.Value, products: Container[str]) -> list[str] | None:
    """All products that read a value, through moves of rows; None where others read it as well."""
    if value.is_graph_output() or not value.uses():
        return None
    names: list[str] = []
    for node, at in value.uses():
        if op_key(node) in ("MatMul", "Gemm") and at == 0 and node_name(node) in products:
            names.append(node_name(node))
        elif at == 0 and moves_rows(node, channels_of(value)[-1]):
            behind = _readers(node.outputs[0], products)
            if behind is None:
                return None
            names += behind
        else:
            return None
    return names


def add_to(place: Place, plus_K: F64) -> None:
    """Adds to a constant by channel."""
    old = place.node.inputs[place.index]
    assert old is not None
    vector_K = vector_of(old, len(plus_K))
    assert vector_K is not None
    assert old.dtype is not None
    graph = graph_of(place.node)
    moved = (vector_K + plus_K).astype(old.dtype.numpy())
    place.node.replace_input_with(place.index, add_constant(graph, f"{old.name}.moved", moved))
    if old.is_initializer() and not old.uses() and not old.is_graph_output():
        del graph.initializers[old.name or ""]
