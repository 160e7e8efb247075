"""Integers with scales, read as floats; no gradient reaches the integers."""

import torch
from torch import Tensor

from egrl.differentiable.operator import Function, Operands, Operator, needed, optional


def _dequantize(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    levels, scale, zero = needed(operands, 0), needed(operands, 1), optional(operands, 2)
    axis = operator.integer("axis", 1)
    steps = levels.to(scale.dtype)
    if zero is not None:
        steps = steps - _spread(operator, zero.to(scale.dtype), levels, axis)
    return (steps * _spread(operator, scale, levels, axis),)


def _spread(operator: Operator, per_group: Tensor, levels: Tensor, axis: int) -> Tensor:
    """Scales or zero points, one for each level."""
    if per_group.ndim == 0:
        return per_group
    axis = axis % levels.ndim
    block = operator.integer("block_size", 0)
    if block:
        return per_group.repeat_interleave(block, axis).narrow(axis, 0, levels.shape[axis])
    if per_group.numel() == 1:
        return per_group.reshape(())
    return per_group.reshape((-1,) + (1,) * (levels.ndim - 1 - axis))


def _quantize(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, scale, zero = needed(operands, 0), needed(operands, 1), optional(operands, 2)
    kind = torch.uint8 if zero is None else zero.dtype
    if kind not in (torch.uint8, torch.int8):
        raise operator.fail(f"expected QuantizeLinear to 8 bits, got {kind}")
    axis = operator.integer("axis", 1)
    steps = torch.round(x / _spread(operator, scale, x, axis))
    if zero is not None:
        steps = steps + _spread(operator, zero.to(steps.dtype), x, axis)
    limits = torch.iinfo(kind)
    return (torch.clamp(steps, limits.min, limits.max).to(kind),)


QUANTIZED: dict[str, Function] = {
    "DequantizeLinear": _dequantize,
    "QuantizeLinear": _quantize,
}
