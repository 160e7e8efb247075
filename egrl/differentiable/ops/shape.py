"""Operators that rearrange, cut and join without arithmetic."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from egrl.differentiable.operator import (
    Function,
    Operands,
    Operator,
    integers_of,
    needed,
    optional,
)
from egrl.differentiable.types import torch_type


def _axes(operator: Operator, operands: Operands) -> tuple[int, ...] | None:
    """Of Squeeze and Unsqueeze: an attribute before opset 13, an input since."""
    return operator.integers("axes") or integers_of(optional(operands, 1))


def _reshape(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, wanted = needed(operands, 0), integers_of(needed(operands, 1))
    assert wanted is not None
    if not operator.integer("allowzero", 0):
        wanted = tuple(x.shape[at] if extent == 0 else extent for at, extent in enumerate(wanted))
    return (x.reshape(wanted),)


def _flatten(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, axis = needed(operands, 0), operator.integer("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return (x.reshape(int(np.prod(x.shape[:axis])), -1),)


def _transpose(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x = needed(operands, 0)
    return (x.permute(operator.integers("perm") or tuple(range(x.ndim))[::-1]),)


def _unsqueeze(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, axes = needed(operands, 0), _axes(operator, operands) or ()
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return (x,)


def _squeeze(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, axes = needed(operands, 0), _axes(operator, operands)
    return (x.squeeze() if axes is None else x.squeeze(axes),)


def _concat(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    parts = [needed(operands, at) for at in range(len(operands))]
    return (torch.cat(parts, operator.integer("axis", 0)),)


def _split(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, axis = needed(operands, 0), operator.integer("axis", 0)
    sizes = operator.integers("split") or integers_of(optional(operands, 1))
    if sizes is None:
        each = -(-x.shape[axis] // operator.outputs)
        last = x.shape[axis] - each * (operator.outputs - 1)
        sizes = (each,) * (operator.outputs - 1) + (last,)
    return tuple(torch.split(x, list(sizes), axis))


def _slice(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x = needed(operands, 0)
    starts = operator.integers("starts") or integers_of(optional(operands, 1))
    ends = operator.integers("ends") or integers_of(optional(operands, 2))
    assert starts is not None
    assert ends is not None
    axes = operator.integers("axes") or integers_of(optional(operands, 3))
    steps = integers_of(optional(operands, 4)) or (1,) * len(starts)
    for start, end, axis, step in zip(
        starts, ends, axes or tuple(range(len(starts))), steps, strict=True
    ):
        first, last, stride = slice(start, end, step).indices(x.shape[axis])
        if stride > 0:
            picked = [slice(None)] * (axis % x.ndim) + [slice(first, max(first, last), stride)]
            x = x[tuple(picked)]
        else:
            # torch has no negative steps.
            x = x.index_select(axis, torch.arange(first, last, stride))
    return (x,)


def _expand(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, wanted = needed(operands, 0), integers_of(needed(operands, 1))
    assert wanted is not None
    return (x.expand(np.broadcast_shapes(tuple(x.shape), wanted)),)


def _tile(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    repeats = integers_of(needed(operands, 1))
    assert repeats is not None
    return (needed(operands, 0).repeat(repeats),)


def _pad(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x = needed(operands, 0)
    if operator.text("mode", "constant") != "constant":
        raise operator.fail(f"expected Pad with a constant, got {operator.text('mode', '')}")
    pads = operator.integers("pads") or integers_of(optional(operands, 1)) or ()
    axes = integers_of(optional(operands, 3)) or tuple(range(x.ndim))
    sides = [0] * (2 * x.ndim)
    for at, axis in enumerate(axes):
        # torch counts from the last axis.
        place = 2 * (x.ndim - 1 - axis % x.ndim)
        sides[place], sides[place + 1] = pads[at], pads[at + len(axes)]
    fill = optional(operands, 2)
    value = operator.number("value", 0.0) if fill is None else float(fill)
    return (functional.pad(x, sides, value=value),)


def _shape(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    dims = tuple(needed(operands, 0).shape)
    end = operator.attributes.get("end")
    assert end is None or isinstance(end, int)
    return (torch.tensor(dims[operator.integer("start", 0) : end], dtype=torch.int64),)


def _cast(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    wanted = operator.integer("to", 1)
    dtype = torch_type(wanted)
    if dtype is None:
        raise operator.fail(f"expected a type that torch has, got ONNX type {wanted}")
    return (needed(operands, 0).to(dtype),)


def _range(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    start, limit, step = (needed(operands, at) for at in range(3))
    return (torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype),)


def _filled(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    shape, value = integers_of(needed(operands, 0)), operator.attributes.get("value")
    assert shape is not None
    if value is None:
        return (torch.zeros(shape),)
    assert isinstance(value, np.ndarray)
    return (torch.from_numpy(value.reshape(-1).copy()).expand(shape),)


def _triangle(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    offset = integers_of(optional(operands, 1)) or (0,)
    function = torch.triu if operator.integer("upper", 1) else torch.tril
    return (function(needed(operands, 0), offset[0]),)


SHAPE: dict[str, Function] = {
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _filled,
    "Expand": _expand,
    "Flatten": _flatten,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
}
