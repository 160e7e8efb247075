"""Normalizations with learned scale and bias."""

import torch
from torch import Tensor

from egrl.differentiable.operator import Function, Operands, Operator, needed, optional


def _layer(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, scale = needed(operands, 0), needed(operands, 1)
    axis = operator.integer("axis", -1) % x.ndim
    axes = tuple(range(axis, x.ndim))
    mean = torch.mean(x, dim=axes, keepdim=True)
    centred = x - mean
    variance = torch.mean(centred * centred, dim=axes, keepdim=True)
    inverse = torch.rsqrt(variance + operator.number("epsilon", 1e-5))
    y = centred * inverse * scale
    bias = optional(operands, 2)
    y = y if bias is None else y + bias
    return (y, mean, inverse)[: operator.outputs]


def _root_mean_square(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, scale = needed(operands, 0), needed(operands, 1)
    axes = tuple(range(operator.integer("axis", -1) % x.ndim, x.ndim))
    square = torch.mean(x * x, dim=axes, keepdim=True)
    return (x * torch.rsqrt(square + operator.number("epsilon", 1e-5)) * scale,)


def _batch(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x = needed(operands, 0)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scale, bias, mean, variance = (needed(operands, at).reshape(shape) for at in range(1, 5))
    inverse = torch.rsqrt(variance + operator.number("epsilon", 1e-5))
    return ((x - mean) * inverse * scale + bias,)


def _instance(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x = needed(operands, 0)
    shape, axes = (1, -1) + (1,) * (x.ndim - 2), tuple(range(2, x.ndim))
    scale, bias = (needed(operands, at).reshape(shape) for at in (1, 2))
    centred = x - torch.mean(x, dim=axes, keepdim=True)
    variance = torch.mean(centred * centred, dim=axes, keepdim=True)
    return (centred * torch.rsqrt(variance + operator.number("epsilon", 1e-5)) * scale + bias,)


NORMALIZATION: dict[str, Function] = {
    "BatchNormalization": _batch,
    "InstanceNormalization": _instance,
    "LayerNormalization": _layer,
    "RMSNormalization": _root_mean_square,
}
