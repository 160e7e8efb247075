"""Nodes that scale and shift each channel by constants: batch norm, and arithmetic with constants.

y_c = (x_c - center_c) scale_c + shift_c, channels along axis 1.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.passes.rewiring import constant_array, shape_of

Array = NDArray[np.floating]

FLOAT_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


@dataclass(frozen=True, slots=True)
class Affine:
    """What a node does to its one variable operand.

    Attributes:
        source: the operand.
        scale: one value for each channel.
        center: likewise.
        shift: likewise.
    """

    source: ir.Value
    scale: Array
    center: Array
    shift: Array

    @property
    def moves(self) -> bool:
        """Whether it does more than scale."""
        return bool(self.center.any() or self.shift.any())


def working_type(data_type: np.dtype[np.generic]) -> np.dtype[np.floating]:
    """The type in which constants are combined: at least single precision."""
    return np.result_type(data_type, np.float32)


def affine_of(node: ir.Node) -> Affine | None:
    """A node read as an affine map per channel, None where it is none."""
    if node.domain != "" or not node.outputs or node.outputs[0].dtype not in FLOAT_TYPES:
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
    given = _per_channel(values, shape_of(left))
    if given is None:
        return None
    ones, zeros = np.ones_like(given), np.zeros_like(given)
    match node.op_type:
        case "Mul":
            return Affine(left, given, zeros, zeros)
        case "Div":
            with np.errstate(all="ignore"):
                return Affine(left, ones / given, zeros, zeros)
        case "Add":
            return Affine(left, ones, zeros, given)
        case _:
            return Affine(left, ones, given, zeros)


def _batch_norm(node: ir.Node) -> Affine | None:
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
        scale, bias, mean, variance = (array.astype(working_type(array.dtype)) for array in given)
        epsilon = np.asarray(node.attributes.get_float("epsilon", 1e-5), dtype=variance.dtype)
        return Affine(source, scale / np.sqrt(variance + epsilon), mean, bias)


def _per_channel(values: NDArray[np.generic], shape: tuple[int, ...]) -> Array | None:
    """Values of a constant along axis 1, None where it is for the whole tensor or another axis.

    One factor for the whole tensor is the epilogue of an op and costs nothing there. onnxruntime
    leaves it, too, and to round the weights in another way can move the outputs of a steep model
    (text detection with a sigmoid of slope 50) by 1e-4.
    """
    if len(shape) < 2 or values.ndim > len(shape):
        return None
    aligned = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    if any(extent != 1 for axis, extent in enumerate(aligned.shape) if axis != 1):
        return None
    if aligned.size != shape[1]:
        return None
    wide: Array = aligned.reshape(-1).astype(working_type(values.dtype))
    return wide
