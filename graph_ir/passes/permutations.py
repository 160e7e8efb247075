"""How operators carry a permutation of the axes from their operands to their result.

For y = Transpose(x, p), axis i of y is axis p[i] of x. An operator that can work on x instead of y
is rewritten in place, so that its result is the one that it had, before the permutation.
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graph_ir.passes.rewiring import add_constant, constant_array, graph_of, shape_of

Permutation = tuple[int, ...]

_ELEMENTWISE = frozenset(
    {
        "Abs",
        "Acos",
        "Add",
        "And",
        "Asin",
        "Atan",
        "Cast",
        "Ceil",
        "Celu",
        "Clip",
        "Cos",
        "DequantizeLinear",
        "Div",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "IsNaN",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mish",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "QuantizeLinear",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "Tanh",
        "ThresholdedRelu",
        "Where",
        "Xor",
    }
)
_REDUCTIONS = frozenset(
    {
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    }
)


def inverse(order: Permutation) -> Permutation:
    """The permutation that undoes one."""
    return tuple(int(axis) for axis in np.argsort(order))


def composed(first: Permutation, second: Permutation) -> Permutation:
    """Transpose(Transpose(x, first), second) as one permutation of x."""
    return tuple(first[axis] for axis in second)


def order_of(node: ir.Node) -> Permutation | None:
    """The permutation of a Transpose, None for other nodes."""
    if node.op_type != "Transpose" or node.domain != "" or node.inputs[0] is None:
        return None
    reversed_axes = tuple(reversed(range(len(shape_of(node.inputs[0])))))
    return tuple(node.attributes.get_ints("perm", reversed_axes))


def carries(node: ir.Node, rank: int) -> bool:
    """Whether a node with permuted operands of a rank gives the same result, permuted.

    All its operands that are not constant must be permuted in the same way.
    """
    if node.domain != "" or len(node.outputs) != 1 or len(shape_of(node.outputs[0])) != rank:
        return False
    constants = [constant_array(value) for value in node.inputs]
    for value, constant in zip(node.inputs, constants, strict=True):
        if value is not None and constant is None and len(shape_of(value)) != rank:
            return False
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return all(constant is not None and constant.size == 1 for constant in constants[1:])
    if node.op_type == "Clip":
        return all(constant is None or constant.size == 1 for constant in constants[1:])
    if node.op_type in _ELEMENTWISE or node.op_type == "Concat":
        return True
    if node.op_type == "Pad":
        return len(node.inputs) in (2, 3) and constants[1] is not None and constants[0] is None
    return _reduced_axes(node) is not None and node.attributes.get_int("keepdims", 1) == 1


def absorbs(node: ir.Node, order: Permutation) -> bool:
    """Whether a node can read the operand before the permutation and give the same result."""
    axes = _reduced_axes(node)
    if axes is None or node.attributes.get_int("keepdims", 1) == 1:
        return False
    if node.inputs[0] is None or len(shape_of(node.inputs[0])) != len(order):
        return False
    left = [order[axis] for axis in range(len(order)) if axis not in axes]
    return left == sorted(left)


def remap(node: ir.Node, order: Permutation) -> None:
    """Rewrites axes and constant operands of a node that carries or absorbs a permutation.

    Its operands that are not constant must already be the ones before the permutation.
    """
    _REMAPS.get(node.op_type, _remap_constants)(node, order)


def _reduced_axes(node: ir.Node) -> tuple[int, ...] | None:
    """Axes of a reduction, counted from the front, where they are known and given."""
    if node.domain != "" or node.op_type not in _REDUCTIONS or node.inputs[0] is None:
        return None
    rank = len(shape_of(node.inputs[0]))
    if "axes" in node.attributes:
        axes: Sequence[int] = node.attributes["axes"].as_ints()
    else:
        given = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
        if given is None or not given.size:
            return None
        axes = given.reshape(-1).tolist()
    return tuple(axis % rank for axis in axes)


def _remap_reduction(node: ir.Node, order: Permutation) -> None:
    axes = _reduced_axes(node)
    assert axes is not None
    moved = sorted(order[axis] for axis in axes)
    if "axes" in node.attributes:
        node.attributes["axes"] = ir.AttrInt64s("axes", moved)
    else:
        _replace_constant(node, 1, np.array(moved, dtype=np.int64))


def _remap_concat(node: ir.Node, order: Permutation) -> None:
    axis = node.attributes["axis"].as_int() % len(order)
    node.attributes["axis"] = ir.AttrInt64("axis", order[axis])
    _remap_constants(node, order)


def _remap_pad(node: ir.Node, order: Permutation) -> None:
    pads = constant_array(node.inputs[1])
    assert pads is not None
    sides = pads.reshape(2, -1)[:, list(inverse(order))]
    _replace_constant(node, 1, sides.reshape(-1))


def _remap_constants(node: ir.Node, order: Permutation) -> None:
    """Constants are aligned to the full rank and permuted back; single values broadcast anyway."""
    for index, value in enumerate(node.inputs):
        constant = constant_array(value)
        if constant is None or (constant.size == 1 and node.op_type != "Concat"):
            continue
        aligned = constant.reshape((1,) * (len(order) - constant.ndim) + constant.shape)
        _replace_constant(node, index, np.ascontiguousarray(aligned.transpose(inverse(order))))


def _replace_constant(node: ir.Node, index: int, array: NDArray[np.generic]) -> None:
    old = node.inputs[index]
    assert old is not None
    node.replace_input_with(index, add_constant(graph_of(node), f"{old.name}_permuted", array))


_REMAPS: dict[str, Callable[[ir.Node, Permutation], None]] = {
    "Concat": _remap_concat,
    "Pad": _remap_pad,
    **dict.fromkeys(sorted(_REDUCTIONS), _remap_reduction),
}
