"""Scales and shifts per channel move into the weights of the operator before them.

BatchNormalization(Conv(x, W, b)) -> Conv(x, W s, (b - mean) s + bias), s = scale / sqrt(variance +
epsilon), for each output channel; likewise Mul, Div, Add and Sub by constants, and ConvTranspose,
Gemm and BatchNormalization itself in the place of Conv.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.passes.affine import FLOAT_TYPES, Affine, Array, affine_of, working_type
from graph_ir.passes.base import Pass, PassResult
from graph_ir.passes.rewiring import add_constant, bypass, constant_array, graph_of


@dataclass(frozen=True, slots=True)
class _Operands:
    """Weight and bias of an operator; None where it has no bias."""

    weight: Array
    bias: Array | None


class BatchNormIntoConvolution(Pass):
    """Folds per-channel affine maps backwards into Conv, ConvTranspose and Gemm.

    Nothing is folded where weights are computed, where the intermediate result has another reader
    or is an output, or where a folded weight would not be finite. A weight that others read is
    copied. The arithmetic is that of onnxruntime's own fusions, step by step in the same
    precision: a session that optimizes the source ends with the same weights, bit for bit.
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
    affine = affine_of(node)
    producer = affine.source.producer() if affine is not None else None
    if affine is None or producer is None:
        return False
    if affine.source.is_graph_output() or len(affine.source.uses()) != 1:
        return False
    operands = _operands(producer, affine)
    if operands is None:
        return False
    data_type = node.outputs[0].dtype
    assert data_type is not None, node
    stored = data_type.numpy()
    with np.errstate(all="ignore"):
        folded = _FOLDERS[producer.op_type](producer, operands.weight, operands.bias, affine)
        weight = folded.weight.astype(stored)
        bias = None if folded.bias is None else folded.bias.astype(stored)
    if not np.isfinite(weight).all() or not (bias is None or np.isfinite(bias).all()):
        return False
    _set_operand(producer, 1, weight, f"{node.outputs[0].name}_weight")
    if bias is not None:
        _set_operand(producer, 2, bias, f"{node.outputs[0].name}_bias")
    if "beta" in producer.attributes:
        producer.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
    return bypass(node, node.outputs[0], affine.source)


def _operands(producer: ir.Node, affine: Affine) -> _Operands | None:
    """Constant operands, at least in single precision, of an operator that can take a map in."""
    if producer.domain != "" or producer.op_type not in _FOLDERS:
        return None
    if producer.attributes.get_int("training_mode", 0) != 0:
        return None
    channels = affine.scale.shape
    weight = constant_array(producer.inputs[1])
    if weight is None or producer.inputs[1] is None or producer.inputs[1].dtype not in FLOAT_TYPES:
        return None
    if producer.op_type == "BatchNormalization" and weight.shape != channels:
        return None
    wide = working_type(weight.dtype)
    if len(producer.inputs) < 3 or producer.inputs[2] is None:
        return _Operands(weight.astype(wide), None)
    bias = constant_array(producer.inputs[2])
    if bias is None or bias.shape not in ((), (1,), channels, (1, *channels)):
        return None
    return _Operands(weight.astype(wide), bias.astype(wide))


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


def _along(vector: Array, axis: int, rank: int) -> Array:
    """A vector shaped to broadcast along one axis."""
    return vector.reshape(tuple(-1 if other == axis else 1 for other in range(rank)))


def _moved(bias: Array | None, affine: Affine) -> Array | None:
    if bias is not None:
        return (bias - affine.center) * affine.scale + affine.shift
    return affine.shift - affine.center * affine.scale if affine.moves else None


def _conv(node: ir.Node, weight: Array, bias: Array | None, affine: Affine) -> _Operands:
    """Weight [C_out, C_in / groups, ...]: scaled along its first axis."""
    return _Operands(weight * _along(affine.scale, 0, weight.ndim), _moved(bias, affine))


def _conv_transpose(node: ir.Node, weight: Array, bias: Array | None, affine: Affine) -> _Operands:
    """Weight [C_in, C_out / groups, ...]: the first axis holds the groups, too."""
    groups = node.attributes.get_int("group", 1)
    split = weight.reshape(groups, -1, *weight.shape[1:])
    scale = affine.scale.reshape(groups, 1, -1, *(1 for _ in weight.shape[2:]))
    return _Operands((split * scale).reshape(weight.shape), _moved(bias, affine))


def _gemm(node: ir.Node, weight: Array, bias: Array | None, affine: Affine) -> _Operands:
    """In alpha A B + beta C, columns of B and C are scaled; beta moves into C."""
    axis = 0 if node.attributes.get_int("transB", 0) else 1
    beta = node.attributes.get_float("beta", 1.0)
    whole = None if bias is None else bias * np.asarray(beta, dtype=bias.dtype)
    return _Operands(weight * _along(affine.scale, axis, 2), _moved(whole, affine))


def _batch_norm(node: ir.Node, weight: Array, bias: Array | None, affine: Affine) -> _Operands:
    """Scale [C] and bias [C], which is always there."""
    return _Operands(weight * affine.scale, _moved(bias, affine))


_FOLDERS: dict[str, Callable[[ir.Node, Array, Array | None, Affine], _Operands]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "BatchNormalization": _batch_norm,
}
