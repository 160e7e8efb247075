"""Which constants belong to the command stream of an op and need no memory."""

import onnx_ir as ir

from graph_ir.onnx_values import element_count, is_constant, op_key

_REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)

# Inputs that parametrise an op instead of carrying data.
PARAMETER_INPUTS: dict[str, frozenset[int]] = {
    "AffineGrid": frozenset({1}),
    "CenterCropPad": frozenset({1}),
    "Clip": frozenset({1, 2}),
    "Col2Im": frozenset({1, 2}),
    "ConstantOfShape": frozenset({0}),
    "CumSum": frozenset({1}),
    "Dropout": frozenset({1, 2}),
    "Expand": frozenset({1}),
    "OneHot": frozenset({1, 2}),
    "Pad": frozenset({1, 2, 3}),
    "Range": frozenset({0, 1, 2}),
    "Reshape": frozenset({1}),
    "Resize": frozenset({1, 2, 3}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Split": frozenset({1}),
    "Squeeze": frozenset({1}),
    "Tile": frozenset({1}),
    "TopK": frozenset({1}),
    "Trilu": frozenset({1}),
    "Unsqueeze": frozenset({1}),
    "Upsample": frozenset({1}),
} | dict.fromkeys(_REDUCTIONS, frozenset({1}))

# Factors of a product are operands even where they hold a single element.
FACTOR_INPUTS: dict[str, frozenset[int]] = {
    "Conv": frozenset({0, 1}),
    "ConvInteger": frozenset({0, 1}),
    "ConvTranspose": frozenset({0, 1}),
    "Gemm": frozenset({0, 1}),
    "MatMul": frozenset({0, 1}),
    "MatMulInteger": frozenset({0, 1}),
    "QLinearConv": frozenset({0, 3}),
    "QLinearMatMul": frozenset({0, 3}),
    "com.microsoft::FusedConv": frozenset({0, 1}),
    "com.microsoft::FusedMatMul": frozenset({0, 1}),
    "com.microsoft::MatMulNBits": frozenset({0, 1}),
}


def is_immediate(node: ir.Node, index: int) -> bool:
    """True where input `index` of `node` is embedded in the command stream.

    That is: a constant that parametrises the op (shapes, axes, bounds, scales), or a constant
    of at most one element that is not a factor of a product.
    """
    value = node.inputs[index]
    if value is None or not is_constant(value):
        return False
    key = op_key(node)
    if index in PARAMETER_INPUTS.get(key, ()):
        return True
    return element_count(value) <= 1 and index not in FACTOR_INPUTS.get(key, ())
