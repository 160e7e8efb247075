"""What single nodes do to the rows of a tensor `[..., D]`; shared by the walks over the stream."""

from collections.abc import Container

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.errors import InputError
from graph_ir.onnx_values import constant_ints, is_constant, node_name, op_key, shape_of

F64 = NDArray[np.float64]

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)
_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Identity")
_ALONG_AN_AXIS = ("Gather", "Split")


def refusal(node: ir.Node, reason: str) -> InputError:
    """Why a model's residual stream cannot be rotated."""
    return InputError(f"rotate: node {node_name(node)} ({op_key(node)}): {reason}")


def channels_of(value: ir.Value | None) -> tuple[int, ...]:
    """The extents of a value, the channels last."""
    assert value is not None
    return shape_of(value)


def float_constant(value: ir.Value | None) -> tuple[NDArray[np.generic]] | None:
    """The array of a constant of floats, in a tuple; None where the value is none."""
    if value is None or not is_constant(value) or value.dtype not in _FLOATS:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else (tensor.numpy(),)


def vector_of(value: ir.Value, width: int) -> F64 | None:
    """A constant `[..., 1, D]` or `[]` as a vector by channel; None where the value is none."""
    constant = float_constant(value)
    if constant is None:
        return None
    array = constant[0].astype(np.float64)
    if array.size == 1:
        return np.full(width, array.item())
    if array.size != width or array.shape[-1] != width:
        return None
    return array.reshape(width)


def uniform(vector_D: F64) -> bool:
    """Whether all channels have the same value, which then commutes with every rotation."""
    return bool((vector_D == vector_D[0]).all())


def is_lookup(node: ir.Node) -> bool:
    """A Gather of rows of a constant table of floats."""
    if op_key(node) != "Gather" or node.attributes.get_int("axis", 0) != 0:
        return False
    constant = float_constant(node.inputs[0])
    return constant is not None and constant[0].ndim == 2 and constant[0].size > 0


def other_operand(node: ir.Node, known: Container[ir.Value]) -> int | None:
    """Index of the one operand of two that is not known."""
    unknown = [i for i, value in enumerate(node.inputs) if value not in known]
    return unknown[0] if len(unknown) == 1 and len(node.inputs) == 2 else None


def reduced_axes(node: ir.Node) -> tuple[int, ...]:
    """Axes of a reduction, counted from the front, in order; all where none are given."""
    rank = len(channels_of(node.inputs[0]))
    axes: tuple[int, ...] | None
    if "axes" in node.attributes:
        axes = tuple(node.attributes["axes"].as_ints())
    else:
        axes = constant_ints(node.inputs[1]) if len(node.inputs) > 1 else None
    return tuple(sorted(axis % rank for axis in axes)) if axes else tuple(range(rank))


def moves_rows(node: ir.Node, width: int) -> bool:
    """Whether a node only moves, repeats, drops or averages whole rows of its first operand."""
    value = node.inputs[0]
    assert value is not None
    op, before = op_key(node), channels_of(value)
    if not before or any(channels_of(out)[-1:] != (width,) for out in node.outputs):
        return False
    rank = len(before)
    if op in _RESHAPES:
        return before[-1] == width
    if op == "Cast":
        return all(out.dtype in _FLOATS for out in node.outputs)
    if op == "Transpose":
        perm = node.attributes.get_ints("perm", tuple(reversed(range(rank))))
        return perm[-1] == rank - 1
    if op in _ALONG_AN_AXIS:
        return node.attributes.get_int("axis", 0) % rank != rank - 1
    if op == "Slice":
        return _unsliced_channels(node, rank)
    if op in ("ReduceMean", "ReduceSum"):
        return rank - 1 not in reduced_axes(node)
    return False


def _unsliced_channels(node: ir.Node, rank: int) -> bool:
    """Whether a Slice leaves the last axis alone."""
    given = node.inputs[3] if len(node.inputs) > 3 else None
    axes = constant_ints(given)
    if given is None:
        axes = tuple(range(len(constant_ints(node.inputs[1]) or range(rank))))
    return axes is not None and rank - 1 not in {axis % rank for axis in axes}
