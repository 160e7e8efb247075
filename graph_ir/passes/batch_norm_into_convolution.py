"""Scales and shifts per channel move into the weights of the operator before them.

BatchNormalization(Conv(x, W, b)) -> Conv(x, W s, b s + t) with s = scale / sqrt(var + epsilon) and
t = bias - mean s, for each output channel; likewise Mul, Div, Add and Sub by constants, and
ConvTranspose, Gemm and BatchNormalization itself in the place of Conv.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.passes.base import Pass, PassResult
from graph_ir.passes.rewiring import add_constant, bypass, constant_array, graph_of, shape_of

Float64Array = NDArray[np.float64]

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


@dataclass(frozen=True, slots=True)
class _Affine:
    """y_c = scale_c x_c + shift_c for each channel c."""

    source: ir.Value
    scale: Float64Array
    shift: Float64Array


@dataclass(frozen=True, slots=True)
class _Folded:
    """New operands of an operator, in double precision."""

    weight: Float64Array
    bias: Float64Array


class BatchNormIntoConvolution(Pass):
    """Folds per-channel affine maps backwards into Conv, ConvTranspose and Gemm.

    Nothing is folded where weights are computed or shared by value with other types, where the
    intermediate result has another reader or is an output, or where a folded weight would not be
    finite. Arithmetic is in double precision, rounded once.
    """

    name = "batch-norm-into-convolution"

    def apply(self, model: ir.Model) -> PassResult:
        """Folds in one walk: chains fold link by link."""
        folded: dict[str, int] = {}
        for node in tuple(model.graph):
            if _fold(node):
                folded[node.op_type] = folded.get(node.op_type, 0) + 1
        details = ", ".join(f"{count} {op}" for op, count in sorted(folded.items()))
        return PassResult(sum(folded.values()), details)


def _fold(node: ir.Node) -> bool:
    affine = _affine(node)
    if affine is None:
        return False
    source = affine.source
    producer = source.producer()
    if producer is None or producer.domain != "" or producer.op_type not in _FOLDERS:
        return False
    if source.is_graph_output() or len(source.uses()) != 1:
        return False
    if producer.attributes.get_int("training_mode", 0) != 0:
        return False
    weight, bias = producer.inputs[1], None
    weights, channels = constant_array(weight), affine.scale.shape
    if weight is None or weights is None or weight.dtype not in _FLOATS:
        return False
    if producer.op_type == "BatchNormalization" and weights.shape != channels:
        return False
    if len(producer.inputs) > 2 and producer.inputs[2] is not None:
        bias = constant_array(producer.inputs[2])
        if bias is None or bias.shape not in ((), (1,), channels, (1, *channels)):
            return False
    with np.errstate(all="ignore"):
        wide_bias = None if bias is None else bias.astype(np.float64)
        folded = _FOLDERS[producer.op_type](producer, weights.astype(np.float64), wide_bias, affine)
        new_weight = folded.weight.astype(weights.dtype)
        new_bias = folded.bias.astype(weights.dtype)
    if not (np.isfinite(new_weight).all() and np.isfinite(new_bias).all()):
        return False
    _set_operand(producer, 1, new_weight, f"{weight.name}")
    _set_operand(producer, 2, new_bias, f"{node.outputs[0].name}_bias")
    if producer.op_type == "Gemm":
        producer.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
    return bypass(node, node.outputs[0], source)


def _set_operand(node: ir.Node, index: int, array: NDArray[np.generic], stem: str) -> None:
    """Gives a node a new constant operand, under the old one's name where nothing else reads it."""
    graph = graph_of(node)
    if len(node.inputs) <= index:
        node.resize_inputs(index + 1)
    old = node.inputs[index]
    node.replace_input_with(index, None)
    if old is not None and not old.uses() and not old.is_graph_output():
        stem = old.name or stem
        del graph.initializers[stem]
    node.replace_input_with(index, add_constant(graph, stem, array))


def _affine(node: ir.Node) -> _Affine | None:
    """A node read as scale and shift per channel (axis 1) of its one variable operand."""
    if node.domain != "" or not node.outputs or node.outputs[0].dtype not in _FLOATS:
        return None
    if node.op_type == "BatchNormalization":
        return _batch_norm(node)
    if node.op_type not in ("Mul", "Div", "Add", "Sub") or len(node.inputs) != 2:
        return None
    left, right = node.inputs
    if node.op_type in ("Mul", "Add") and constant_array(left) is not None:
        left, right = right, left
    values = constant_array(right)
    if left is None or values is None or shape_of(left) != shape_of(node.outputs[0]):
        return None
    per_channel = _per_channel(values, shape_of(left))
    if per_channel is None:
        return None
    ones, zeros = np.ones_like(per_channel), np.zeros_like(per_channel)
    with np.errstate(all="ignore"):
        match node.op_type:
            case "Mul":
                return _Affine(left, per_channel, zeros)
            case "Div":
                return _Affine(left, 1.0 / per_channel, zeros)
            case "Add":
                return _Affine(left, ones, per_channel)
            case _:
                return _Affine(left, ones, -per_channel)


def _batch_norm(node: ir.Node) -> _Affine | None:
    source = node.inputs[0]
    if source is None or node.attributes.get_int("training_mode", 0) != 0:
        return None
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return None
    channels = shape_of(source)[1:2]
    operands = [constant_array(value) for value in node.inputs[1:5]]
    given = [array for array in operands if array is not None and array.shape == channels]
    if len(given) != 4:
        return None
    with np.errstate(all="ignore"):
        scale, bias, mean, variance = (array.astype(np.float64) for array in given)
        factor = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
        return _Affine(source, factor, bias - mean * factor)


def _per_channel(values: NDArray[np.generic], shape: tuple[int, ...]) -> Float64Array | None:
    """Values of a constant along axis 1, None where it varies along another axis."""
    if len(shape) < 2 or values.ndim > len(shape):
        return None
    aligned = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    if any(extent != 1 for axis, extent in enumerate(aligned.shape) if axis != 1):
        return None
    return np.broadcast_to(aligned.reshape(-1).astype(np.float64), (shape[1],)).copy()


def _along(vector: Float64Array, axis: int, rank: int) -> Float64Array:
    """A vector shaped to broadcast along one axis."""
    return vector.reshape(tuple(-1 if other == axis else 1 for other in range(rank)))


def _shifted(bias: Float64Array | None, affine: _Affine) -> Float64Array:
    return affine.shift if bias is None else bias * affine.scale + affine.shift


def _conv(
    node: ir.Node, weight: Float64Array, bias: Float64Array | None, affine: _Affine
) -> _Folded:
    """Weight [C_out, C_in / groups, ...]: scaled along its first axis."""
    return _Folded(weight * _along(affine.scale, 0, weight.ndim), _shifted(bias, affine))


def _conv_transpose(
    node: ir.Node, weight: Float64Array, bias: Float64Array | None, affine: _Affine
) -> _Folded:
    """Weight [C_in, C_out / groups, ...]: the first axis holds the groups, too."""
    groups = node.attributes.get_int("group", 1)
    split = weight.reshape(groups, -1, *weight.shape[1:])
    scale = affine.scale.reshape(groups, 1, -1, *(1 for _ in weight.shape[2:]))
    return _Folded((split * scale).reshape(weight.shape), _shifted(bias, affine))


def _gemm(
    node: ir.Node, weight: Float64Array, bias: Float64Array | None, affine: _Affine
) -> _Folded:
    """In alpha A B + beta C, columns of B and C are scaled, beta becomes 1."""
    axis = 0 if node.attributes.get_int("transB", 0) else 1
    beta = node.attributes.get_float("beta", 1.0)
    wide = None if bias is None else beta * bias
    return _Folded(weight * _along(affine.scale, axis, 2), _shifted(wide, affine))


def _batch_norm_operands(
    node: ir.Node, weight: Float64Array, bias: Float64Array | None, affine: _Affine
) -> _Folded:
    """Scale [C] and bias [C], which is always there."""
    return _Folded(weight * affine.scale, _shifted(bias, affine))


_FOLDERS: dict[str, Callable[[ir.Node, Float64Array, Float64Array | None, _Affine], _Folded]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "BatchNormalization": _batch_norm_operands,
}
