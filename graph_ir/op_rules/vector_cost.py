"""Elementary vector operations of a node: one add, compare or multiply on one element is 1.

Transcendental functions count what their usual polynomial or table form takes. Elements are
those of the result unless stated otherwise. Products of matrices are counted as
multiply-accumulates elsewhere; here they only cost their bias.
"""

from math import prod

import onnx_ir as ir

from graph_ir.onnx_values import is_constant, op_key
from graph_ir.op_rules.attention import heads_of
from graph_ir.op_rules.facts import has_input, input_shape, output_shape
from graph_ir.op_rules.families import FAMILIES
from graph_ir.op_rules.recurrent import GATES
from graph_ir.workload import OpFamily

# Operations per element of the result. Elementwise ops that are not listed cost 1.
PER_ELEMENT: dict[str, int] = {
    "Acos": 8,
    "Acosh": 8,
    "Asin": 8,
    "Asinh": 8,
    "Atan": 8,
    "Atanh": 8,
    "BatchNormalization": 2,
    "Celu": 5,
    "Cos": 4,
    "Cosh": 4,
    "Div": 4,
    "Elu": 5,
    "Erf": 10,
    "Exp": 4,
    "Gelu": 13,
    "HardSigmoid": 3,
    "HardSwish": 4,
    "Log": 4,
    "Mish": 12,
    "Pow": 8,
    "Reciprocal": 4,
    "RotaryEmbedding": 3,
    "Selu": 5,
    "Sigmoid": 4,
    "Sin": 4,
    "Sinh": 4,
    "Softplus": 8,
    "Softsign": 6,
    "Sqrt": 4,
    "Swish": 5,
    "Tan": 4,
    "Tanh": 4,
    "com.microsoft::BiasGelu": 14,
    "com.microsoft::FastGelu": 13,
    "com.microsoft::Gelu": 13,
    "com.microsoft::QLinearAdd": 5,
    "com.microsoft::QLinearLeakyRelu": 4,
    "com.microsoft::QLinearMul": 4,
    "com.microsoft::QLinearSigmoid": 6,
    "com.microsoft::QuickGelu": 6,
    "com.microsoft::RotaryEmbedding": 3,
}

# Whole families, per element of the result (reductions: per element that they read).
PER_FAMILY_ELEMENT: dict[OpFamily, int] = {
    OpFamily.NORMALIZATION: 8,
    OpFamily.SOFTMAX: 5,
    OpFamily.REDUCTION: 1,
    OpFamily.QUANTIZATION: 2,
    OpFamily.GATHER: 0,
    OpFamily.MOVEMENT: 0,
}

# Multiply-adds per element of a resampled image, by interpolation mode.
PER_RESIZED_ELEMENT: dict[str, int] = {
    "nearest": 1,
    "linear": 8,
    "bilinear": 8,
    "cubic": 32,
    "bicubic": 32,
}

# Activations and products of the gates, per hidden unit and time step.
PER_HIDDEN_UNIT: dict[str, int] = {"GRU": 18, "LSTM": 24, "RNN": 5}

# Scale, mask and softmax, per score.
PER_SCORE = 7

# Inputs that hold the bias of a product.
_BIAS: dict[str, int] = {
    "Conv": 2,
    "ConvTranspose": 2,
    "Gemm": 2,
    "QLinearConv": 8,
    "com.microsoft::FusedConv": 2,
    "com.microsoft::FusedGemm": 2,
    "com.microsoft::MatMulIntegerToFloat": 6,
    "com.microsoft::MatMulNBits": 5,
}

# Products that requantize their result.
_REQUANTIZING = frozenset({"QLinearConv", "QLinearMatMul"})


def vector_ops(node: ir.Node) -> int:
    """Vector operations of one computing node of a group."""
    key = op_key(node)
    family = FAMILIES[key]
    elements = prod(output_shape(node))
    if family is OpFamily.MOVEMENT:
        return 0
    if family is OpFamily.ELEMENTWISE:
        if key in ("Sum", "Mean", "Max", "Min"):
            return elements * max(1, len(node.inputs) - 1)
        if (key == "Pow" and _is_square(node)) or (key == "Div" and _by_constant(node)):
            return elements
        return elements * PER_ELEMENT.get(key, 1)
    if family in (OpFamily.CONV, OpFamily.MATMUL):
        bias = key in _BIAS and has_input(node, _BIAS[key])
        return elements * (int(bias) + 2 * int(key in _REQUANTIZING))
    if family is OpFamily.ATTENTION:
        heads = heads_of(node)
        return heads.batch * heads.queries * heads.keys * PER_SCORE
    if family is OpFamily.POOLING:
        return elements * prod(node.attributes.get_ints("kernel_shape", (1,)))
    if family is OpFamily.RESIZE:
        mode = node.attributes.get_string("mode", "nearest")
        return elements * PER_RESIZED_ELEMENT.get(mode, 8)
    if family is OpFamily.RECURRENT:
        steps_and_batch = prod(input_shape(node, 0)[:2])
        width = input_shape(node, 1)[1] // GATES[key] * input_shape(node, 1)[0]
        return steps_and_batch * width * PER_HIDDEN_UNIT[key]
    if family is OpFamily.REDUCTION:
        elements = prod(input_shape(node, 0))
    return elements * PER_FAMILY_ELEMENT[family]


def _by_constant(node: ir.Node) -> bool:
    divisor = node.inputs[1]
    return divisor is not None and is_constant(divisor)


def _is_square(node: ir.Node) -> bool:
    exponent = node.inputs[1]
    tensor = None if exponent is None else ir.convenience.get_const_tensor(exponent)
    return tensor is not None and tensor.size == 1 and float(tensor.numpy().item()) == 2.0
