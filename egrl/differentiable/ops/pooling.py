"""Pooling over windows."""

from torch import Tensor
from torch.nn import functional

from egrl.differentiable.operator import Function, Operands, Operator, needed
from egrl.differentiable.ops.matrix import padded


def _maximum(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, kernel, strides = _window(operator, operands)
    dilations = operator.integers("dilations") or (1,) * len(kernel)
    if operator.outputs > 1:
        raise operator.fail("expected MaxPool without indices, got one with them")
    x = padded(operator, x, kernel, strides, dilations, float("-inf"))
    if len(kernel) == 1:
        return (functional.max_pool1d(x, kernel, strides, 0, dilations),)
    return (functional.max_pool2d(x, kernel, strides, 0, dilations),)


def _average(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, kernel, strides = _window(operator, operands)
    pads = operator.integers("pads") or (0,) * (2 * len(kernel))
    if any(pads) and not operator.integer("count_include_pad", 0):
        raise operator.fail("expected AveragePool that counts its border, got one that does not")
    x = padded(operator, x, kernel, strides, (1,) * len(kernel), 0.0)
    if len(kernel) == 1:
        return (functional.avg_pool1d(x, kernel, strides),)
    return (functional.avg_pool2d(x, kernel, strides),)


def _window(
    operator: Operator, operands: Operands
) -> tuple[Tensor, tuple[int, ...], tuple[int, ...]]:
    kernel = operator.integers("kernel_shape")
    assert kernel is not None
    if len(kernel) > 2 or operator.integer("ceil_mode", 0):
        raise operator.fail("expected a window of 1 or 2 axes, rounded down, got another")
    return needed(operands, 0), kernel, operator.integers("strides") or (1,) * len(kernel)


POOLING: dict[str, Function] = {
    "AveragePool": _average,
    "MaxPool": _maximum,
}
