"""Matrix products and convolutions."""

import torch
from torch import Tensor
from torch.nn import functional

from egrl.differentiable.operator import Function, Operands, Operator, needed, optional


def _matmul(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    return (torch.matmul(needed(operands, 0), needed(operands, 1)),)


def _gemm(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    left, right = needed(operands, 0), needed(operands, 1)
    left = left.T if operator.integer("transA", 0) else left
    right = right.T if operator.integer("transB", 0) else right
    alpha, beta = operator.number("alpha", 1.0), operator.number("beta", 1.0)
    product = left @ right
    product = product if alpha == 1.0 else alpha * product
    added = optional(operands, 2)
    if added is None:
        return (product,)
    return (product + (added if beta == 1.0 else beta * added),)


def _convolution(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, weight = needed(operands, 0), needed(operands, 1)
    spatial = x.ndim - 2
    strides = operator.integers("strides") or (1,) * spatial
    dilations = operator.integers("dilations") or (1,) * spatial
    x = padded(operator, x, tuple(weight.shape[2:]), strides, dilations, 0.0)
    if spatial == 0 or spatial > 3:
        raise operator.fail(f"expected 1 to 3 spatial axes, got {spatial}")
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[spatial - 1]
    groups = operator.integer("group", 1)
    return (convolve(x, weight, optional(operands, 2), strides, 0, dilations, groups),)


def padded(
    operator: Operator,
    x: Tensor,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    fill: float,
) -> Tensor:
    """The input of a sliding window with its borders, as `pads` or `auto_pad` say."""
    spatial = len(kernel)
    pads = operator.integers("pads") or (0,) * (2 * spatial)
    automatic = operator.text("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        pads = _same(x, kernel, strides, dilations, automatic)
    if not any(pads):
        return x
    reverse = [pads[axis + side * spatial] for axis in range(spatial)[::-1] for side in (0, 1)]
    return functional.pad(x, reverse, value=fill)


def _same(
    x: Tensor,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    automatic: str,
) -> tuple[int, ...]:
    before, after = [], []
    for axis, extent in enumerate(x.shape[2:]):
        windows = -(-extent // strides[axis])
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        missing = max(0, (windows - 1) * strides[axis] + reach - extent)
        small, large = missing // 2, missing - missing // 2
        before.append(small if automatic == "SAME_UPPER" else large)
        after.append(large if automatic == "SAME_UPPER" else small)
    return (*before, *after)


MATRIX: dict[str, Function] = {
    "Conv": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
