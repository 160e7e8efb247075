"""Where a scale of a value's channels can be taken out before it and put in behind it.

`(x / s) (diag(s) W) = x W`: the readers' rows take s, and 1 / s goes into whatever constant made
the channels: a norm's scale and bias, the columns of the product before, either side of a gate.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.compression.residual_stream_ops import (
    channels_of,
    float_constant,
    moves_rows,
    vector_of,
)
from graph_ir.onnx_values import op_key
from graph_ir.passes.rewiring import add_constant, graph_of

F64 = NDArray[np.float64]

_NORMS = ("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization")
_POSITIVELY_HOMOGENEOUS = ("Relu", "LeakyRelu", "PRelu", "Identity", "Neg", "Abs")


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A constant operand with an axis of the channels."""

    node: ir.Node
    index: int
    axis: int


def places_before(value: ir.Value) -> list[Place] | None:
    """The constants to divide for all channels of a value to be divided; None where there are none.

    Args:
        value: whose readers are known to take the scale.
    """
    node = value.producer()
    width = channels_of(value)[-1] if channels_of(value) else 0
    if node is None or len(node.outputs) != 1:
        return None
    op = op_key(node)
    if op in _NORMS:
        places = [Place(node, i, 0) for i in range(1, len(node.inputs)) if node.inputs[i]]
        rank = len(channels_of(value))
        last = node.attributes.get_int("axis", -1) % rank == rank - 1
        return places if last and all(_is_constant(place) for place in places) else None
    if op in ("MatMul", "Gemm"):
        return _product(node)
    if op == "Mul":
        return _either(node, width)
    if op in ("Add", "Sub"):
        parts = [_operand(node, i, width) for i in range(2)]
        return None if None in parts else [place for part in parts for place in part or []]
    if op in _POSITIVELY_HOMOGENEOUS or moves_rows(node, width):
        return _operand(node, 0, width)
    return None


def _either(node: ir.Node, width: int) -> list[Place] | None:
    """One operand of a product of elements: a constant by channel, else what is made of one."""
    for index in (1, 0):
        operand = node.inputs[index]
        if operand is not None and vector_of(operand, width) is not None:
            return _operand(node, index, width)
    found = [_operand(node, index, width) for index in (1, 0)]
    return next((places for places in found if places is not None), None)


def _operand(node: ir.Node, index: int, width: int) -> list[Place] | None:
    value = node.inputs[index]
    assert value is not None
    constant = float_constant(value)
    if constant is not None:
        return [Place(node, index, max(constant[0].ndim - 1, 0))]
    if channels_of(value)[-1:] != (width,) or len(value.uses()) != 1 or value.is_graph_output():
        return None
    return places_before(value)


def _product(node: ir.Node) -> list[Place] | None:
    weight = Place(node, 1, 0 if node.attributes.get_int("transB", 0) else 1)
    if not _is_constant(weight, rank=2):
        return None
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return [weight]
    bias = _operand(node, 2, channels_of(node.outputs[0])[-1])
    return None if bias is None else [weight, *bias]


def places_behind(value: ir.Value) -> list[Place] | None:
    """The weights to multiply for a division of a value to be undone.

    None where some reader has none, or where a weight is also another's: a table that is both
    embedding and head stays one.
    """
    if value.is_graph_output():
        return None
    places: list[Place] = []
    for node, at in value.uses():
        place = Place(node, 1, 1 if node.attributes.get_int("transB", 0) else 0)
        is_product = op_key(node) in ("MatMul", "Gemm") and at == 0
        transposed: int = node.attributes.get_int("transA", 0)
        if not is_product or transposed or not _is_constant(place, rank=2):
            return None
        weight = node.inputs[1]
        assert weight is not None
        if len(weight.uses()) != 1:
            return None
        places.append(place)
    return places


def _is_constant(place: Place, rank: int = 1) -> bool:
    constant = float_constant(place.node.inputs[place.index])
    return constant is not None and constant[0].ndim == rank


def multiply(place: Place, scale_K: F64) -> None:
    """Multiplies a constant along its axis, in float64; an operand shared with others is copied."""
    old = place.node.inputs[place.index]
    constant = float_constant(old)
    assert old is not None
    assert constant is not None
    array = constant[0] if constant[0].ndim else constant[0].reshape(1)
    shape = [1] * array.ndim
    shape[place.axis] = len(scale_K)
    scaled = (array.astype(np.float64) * scale_K.reshape(shape)).astype(array.dtype)
    graph = graph_of(place.node)
    stem = (old.name or "constant").removesuffix(".scaled")
    place.node.replace_input_with(place.index, add_constant(graph, f"{stem}.scaled", scaled))
    if old.is_initializer() and not old.uses() and not old.is_graph_output():
        del graph.initializers[old.name or ""]
