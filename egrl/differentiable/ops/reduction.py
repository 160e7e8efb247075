"""Reductions over axes, softmax, and pooling over all positions."""

from collections.abc import Callable

import torch
from torch import Tensor

from egrl.differentiable.operator import (
    Function,
    Operands,
    Operator,
    integers_of,
    needed,
    optional,
)

Reduce = Callable[[Tensor, tuple[int, ...], bool], Tensor]


def _reduction(reduce: Reduce) -> Function:
    def function(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
        x = needed(operands, 0)
        axes = operator.integers("axes") or integers_of(optional(operands, 1))
        if not axes:
            if operator.integer("noop_with_empty_axes", 0):
                return (x,)
            axes = tuple(range(x.ndim))
        return (reduce(x, axes, bool(operator.integer("keepdims", 1))),)

    return function


def _mean(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.mean(x, dim=axes, keepdim=keep)


def _sum(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.sum(x, dim=axes, keepdim=keep).to(x.dtype)


def _norm(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    # Unlike a root of a sum it has a gradient, 0, where all is 0.
    norm: Tensor = torch.linalg.vector_norm(x, dim=axes, keepdim=keep)
    return norm


def _sum_of_squares(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.sum(x * x, dim=axes, keepdim=keep)


def _largest(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.amax(x, dim=axes, keepdim=keep)


def _smallest(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.amin(x, dim=axes, keepdim=keep)


def _softmax(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    return _flattened(operator, needed(operands, 0), torch.softmax)


def _log_softmax(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    return _flattened(operator, needed(operands, 0), torch.log_softmax)


def _flattened(
    operator: Operator, x: Tensor, function: Callable[[Tensor, int], Tensor]
) -> tuple[Tensor, ...]:
    """Before opset 13 all axes from `axis` on were one."""
    if operator.version >= 13:
        return (function(x, operator.integer("axis", -1)),)
    axis = operator.integer("axis", 1) % x.ndim
    flat = function(x.reshape(*x.shape[:axis], -1), -1)
    return (flat.reshape(x.shape),)


def _global_average(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x = needed(operands, 0)
    return (torch.mean(x, dim=tuple(range(2, x.ndim)), keepdim=True),)


def _global_maximum(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x = needed(operands, 0)
    return (torch.amax(x, dim=tuple(range(2, x.ndim)), keepdim=True),)


def _running_sum(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, axes = needed(operands, 0), integers_of(needed(operands, 1))
    assert axes is not None
    if operator.integer("reverse", 0):
        total = torch.cumsum(x.flip(axes), axes[0]).flip(axes)
    else:
        total = torch.cumsum(x, axes[0])
    return ((total - x if operator.integer("exclusive", 0) else total).to(x.dtype),)


REDUCTION: dict[str, Function] = {
    "CumSum": _running_sum,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_maximum,
    "LogSoftmax": _log_softmax,
    "ReduceL2": _reduction(_norm),
    "ReduceMax": _reduction(_largest),
    "ReduceMean": _reduction(_mean),
    "ReduceMin": _reduction(_smallest),
    "ReduceSum": _reduction(_sum),
    "ReduceSumSquare": _reduction(_sum_of_squares),
    "Softmax": _softmax,
}
