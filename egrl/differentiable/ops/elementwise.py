"""Operators that act on each element, with broadcasting."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from egrl.differentiable.operator import Function, Operands, Operator, needed, optional


def _unary(function: Callable[[Tensor], Tensor]) -> Function:
    return lambda operator, operands: (function(needed(operands, 0)),)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    return lambda operator, operands: (function(needed(operands, 0), needed(operands, 1)),)


def _fold(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    def fold(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
        result = needed(operands, 0)
        for position in range(1, len(operands)):
            result = function(result, needed(operands, position))
        return (result,)

    return fold


def _divide(left: Tensor, right: Tensor) -> Tensor:
    if left.is_floating_point():
        return left / right
    return torch.div(left, right, rounding_mode="trunc")


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    return torch.pow(base, exponent).to(base.dtype)


def _sum(left: Tensor, right: Tensor) -> Tensor:
    return left + right


def _modulo(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    function = torch.fmod if operator.integer("fmod", 0) else torch.remainder
    return (function(needed(operands, 0), needed(operands, 1)),)


def _clip(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x = needed(operands, 0)
    if operator.version < 11:
        low, high = operator.number("min", -3.4e38), operator.number("max", 3.4e38)
        return (torch.clamp(x, low, high),)
    least, most = optional(operands, 1), optional(operands, 2)
    if least is not None:
        x = torch.maximum(x, least)
    return (x if most is None else torch.minimum(x, most),)


def _gelu(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    form = operator.text("approximate", "none")
    return (functional.gelu(needed(operands, 0), approximate=form),)


def _leaky_relu(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    return (functional.leaky_relu(needed(operands, 0), operator.number("alpha", 0.01)),)


def _elu(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    return (functional.elu(needed(operands, 0), operator.number("alpha", 1.0)),)


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def _hard_sigmoid(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    alpha, beta = operator.number("alpha", 0.2), operator.number("beta", 0.5)
    return (torch.clamp(alpha * needed(operands, 0) + beta, 0.0, 1.0),)


def _swish(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x = needed(operands, 0)
    return (x * torch.sigmoid(operator.number("alpha", 1.0) * x),)


def _where(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    return (torch.where(needed(operands, 0), needed(operands, 1), needed(operands, 2)),)


def _identity(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    """Identity, and Dropout, which does nothing outside of training."""
    x = needed(operands, 0)
    return (x, torch.ones_like(x, dtype=torch.bool))[: operator.outputs]


ELEMENTWISE: dict[str, Function] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(_sum),
    "And": _binary(torch.logical_and),
    "Ceil": _unary(torch.ceil),
    "Clip": _clip,
    "Cos": _unary(torch.cos),
    "Div": _binary(_divide),
    "Dropout": _identity,
    "Elu": _elu,
    "Equal": _binary(torch.eq),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Floor": _unary(torch.floor),
    "Gelu": _gelu,
    "Greater": _binary(torch.gt),
    "GreaterOrEqual": _binary(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(functional.hardswish),
    "Identity": _identity,
    "IsNaN": _unary(torch.isnan),
    "LeakyRelu": _leaky_relu,
    "Less": _binary(torch.lt),
    "LessOrEqual": _binary(torch.le),
    "Log": _unary(torch.log),
    "Max": _fold(torch.maximum),
    "Min": _fold(torch.minimum),
    "Mod": _modulo,
    "Mul": _binary(torch.mul),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "Or": _binary(torch.logical_or),
    "PRelu": _binary(_prelu),
    "Pow": _binary(_power),
    "Reciprocal": _unary(torch.reciprocal),
    "Relu": _unary(torch.relu),
    "Round": _unary(torch.round),
    "Sigmoid": _unary(torch.sigmoid),
    "Sin": _unary(torch.sin),
    "Softplus": _unary(functional.softplus),
    "Sqrt": _unary(torch.sqrt),
    "Sub": _binary(torch.sub),
    "Sum": _fold(_sum),
    "Swish": _swish,
    "Tanh": _unary(torch.tanh),
    "Where": _where,
}
