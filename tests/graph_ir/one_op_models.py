"""One example of every op that has a lowering rule, to show that the rule accepts it."""

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

Attributes = dict[str, int | float | str | list[int] | list[float]]
INT = TensorProto.INT64
BOOL = TensorProto.BOOL
UINT8 = TensorProto.UINT8


@dataclass(frozen=True)
class Example:
    """Inputs are shapes (float activations), (shape, type) pairs, arrays (constants) or None."""

    inputs: tuple[object, ...]
    attributes: Attributes = field(default_factory=dict)
    outputs: int = 1
    # Shapes and types of the results where onnx cannot infer them.
    results: tuple[tuple[tuple[int, ...], int], ...] = ()
    opset: int = 23


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def floats(*shape: int) -> np.ndarray:
    return (np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape) % 7 - 3) / 8


def bytes_(*shape: int) -> np.ndarray:
    return (np.arange(int(np.prod(shape))).reshape(shape) % 200).astype(np.uint8)


IMAGE = (1, 4, 6, 8)
TOKENS = (2, 6, 8)
F = TensorProto.FLOAT
SCALE = np.float32(0.05)
ZERO = np.uint8(128)

UNARY = """
Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid
HardSwish IsInf IsNaN LeakyRelu Log Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid Sign
Sin Sinh Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Identity Softmax LogSoftmax Hardmax
LpNormalization ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Transpose Flatten Dropout
"""
BINARY = """
Add Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mul Pow PRelu Sub Sum
"""

EXAMPLES: dict[str, Example] = {op: Example((TOKENS,)) for op in UNARY.split()}
EXAMPLES |= {op: Example((TOKENS, (6, 1))) for op in BINARY.split()}
EXAMPLES |= {op: Example(((TOKENS, BOOL), (TOKENS, BOOL))) for op in ("And", "Or", "Xor")}
EXAMPLES |= {
    op: Example(((TOKENS, INT), (TOKENS, INT))) for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")
}
EXAMPLES |= {op: Example((IMAGE,)) for op in ("GlobalAveragePool", "GlobalMaxPool")}
EXAMPLES["GlobalLpPool"] = Example((IMAGE,), opset=20)
EXAMPLES |= {
    op: Example((IMAGE,), {"kernel_shape": [3, 3], "strides": [2, 2]})
    for op in ("AveragePool", "MaxPool", "LpPool")
}
EXAMPLES |= {
    "AffineGrid": Example(((1, 2, 3), ints(1, 4, 6, 8))),
    "Attention": Example(((2, 2, 6, 4), (2, 2, 5, 4), (2, 2, 5, 4))),
    "BatchNormalization": Example((IMAGE, floats(4), floats(4), floats(4), floats(4) ** 2 + 1)),
    "BitShift": Example(((TOKENS, UINT8), (TOKENS, UINT8)), {"direction": "LEFT"}),
    "BitwiseNot": Example(((TOKENS, INT),)),
    "Cast": Example((TOKENS,), {"to": TensorProto.INT32}),
    "CastLike": Example((TOKENS, ints(1))),
    "CenterCropPad": Example((TOKENS, ints(2, 4, 10))),
    "Clip": Example((TOKENS, np.float32(0), np.float32(6))),
    "Col2Im": Example(((1, 5, 5), ints(5, 5), ints(1, 5))),
    "Concat": Example((TOKENS, (2, 6, 3)), {"axis": -1}),
    "ConstantOfShape": Example((ints(2, 3),)),
    "Conv": Example((IMAGE, floats(8, 2, 3, 3), floats(8)), {"group": 2, "pads": [1, 1, 1, 1]}),
    "ConvInteger": Example(((IMAGE, UINT8), bytes_(8, 4, 3, 3), ZERO)),
    "ConvTranspose": Example((IMAGE, floats(4, 3, 2, 2), floats(3)), {"strides": [2, 2]}),
    "CumSum": Example((TOKENS, ints(1))),
    "DepthToSpace": Example((IMAGE,), {"blocksize": 2}),
    "DequantizeLinear": Example(((IMAGE, UINT8), SCALE, ZERO)),
    "DynamicQuantizeLinear": Example((IMAGE,), outputs=3),
    "Einsum": Example((TOKENS, (2, 5, 8)), {"equation": "bid,bjd->bij"}),
    "Expand": Example(((2, 1, 8), ints(2, 6, 8))),
    "EyeLike": Example(((6, 6),)),
    "GRU": Example(((6, 2, 8), floats(1, 12, 8), floats(1, 12, 4)), {"hidden_size": 4}, outputs=2),
    "Gather": Example((TOKENS, ints(0, 3)), {"axis": 1}),
    "GatherElements": Example((TOKENS, np.zeros((2, 2, 8), np.int64)), {"axis": 1}),
    "GatherND": Example((TOKENS, ints(0, 1).reshape(1, 2))),
    "Gemm": Example(((6, 8), floats(5, 8), floats(5)), {"transB": 1}),
    "GridSample": Example((IMAGE, (1, 3, 3, 2))),
    "GroupNormalization": Example(
        (IMAGE, floats(4), floats(4)), {"num_groups": 2}, results=((IMAGE, F),)
    ),
    "InstanceNormalization": Example((IMAGE, floats(4), floats(4))),
    "LRN": Example((IMAGE,), {"size": 3}),
    "LSTM": Example(
        ((6, 2, 8), floats(1, 16, 8), floats(1, 16, 4), floats(1, 32)),
        {"hidden_size": 4},
        outputs=3,
    ),
    "LayerNormalization": Example((TOKENS, floats(8), floats(8))),
    "MatMul": Example((TOKENS, floats(8, 5))),
    "MatMulInteger": Example(((TOKENS, UINT8), bytes_(8, 5), ZERO)),
    "MeanVarianceNormalization": Example((IMAGE,), results=((IMAGE, F),)),
    "Mod": Example(((TOKENS, INT), ints(3))),
    "Not": Example(((TOKENS, BOOL),)),
    "OneHot": Example((((2, 6), INT), ints(5), floats(2))),
    "Pad": Example((TOKENS, ints(0, 1, 0, 0, 1, 0))),
    "QLinearConv": Example(
        ((IMAGE, UINT8), SCALE, ZERO, bytes_(8, 4, 3, 3), SCALE, ZERO, SCALE, ZERO)
    ),
    "QLinearMatMul": Example(
        ((TOKENS, UINT8), SCALE, ZERO, bytes_(8, 5), SCALE, ZERO, SCALE, ZERO)
    ),
    "QuantizeLinear": Example((IMAGE, floats(4) ** 2 + 1, bytes_(4))),
    "RMSNormalization": Example((TOKENS, floats(8))),
    "RNN": Example(((6, 2, 8), floats(1, 4, 8), floats(1, 4, 4)), {"hidden_size": 4}, outputs=2),
    "Range": Example((ints(0)[0], ints(6)[0], ints(1)[0])),
    "Reshape": Example((TOKENS, ints(12, 8))),
    "Resize": Example((IMAGE, None, np.array([1, 1, 2, 2], np.float32)), {"mode": "linear"}),
    "ReverseSequence": Example(((6, 2, 8), ints(6, 3))),
    "RoiAlign": Example(
        (IMAGE, (3, 4), ints(0, 0, 0)), {"output_height": 2, "output_width": 2}, opset=16
    ),
    "RotaryEmbedding": Example(((2, 2, 6, 8), floats(2, 6, 4), floats(2, 6, 4))),
    "Scatter": Example((TOKENS, np.zeros((2, 2, 8), np.int64), (2, 2, 8)), {"axis": 1}, opset=10),
    "ScatterElements": Example((TOKENS, np.zeros((2, 2, 8), np.int64), (2, 2, 8)), {"axis": 1}),
    "ScatterND": Example((TOKENS, ints(0, 1).reshape(1, 2), (1, 8))),
    "Slice": Example((TOKENS, ints(1), ints(4), ints(1))),
    "SpaceToDepth": Example((IMAGE,), {"blocksize": 2}),
    "Split": Example((TOKENS,), {"axis": 1, "num_outputs": 2}, outputs=2),
    "Squeeze": Example(((2, 1, 8), ints(1))),
    "Swish": Example((TOKENS,), opset=24),
    "TensorScatter": Example(((2, 6, 8), (2, 1, 8), ints(0, 3)), {"axis": 1}, opset=24),
    "Tile": Example((TOKENS, ints(1, 2, 1))),
    "TopK": Example((TOKENS, ints(3)), outputs=2),
    "Trilu": Example((TOKENS,)),
    "Unsqueeze": Example((TOKENS, ints(1))),
    "Upsample": Example((IMAGE, np.array([1, 1, 2, 2], np.float32)), opset=9),
    "Where": Example(((TOKENS, BOOL), TOKENS, np.float32(0))),
    "com.microsoft::Attention": Example(
        (TOKENS, floats(8, 24), floats(24)), {"num_heads": 2}, results=((TOKENS, F),)
    ),
    "com.microsoft::BiasAdd": Example(
        ((2, 6, 320), floats(320), (2, 6, 320)), results=(((2, 6, 320), F),)
    ),
    "com.microsoft::BiasGelu": Example((TOKENS, floats(8)), results=((TOKENS, F),)),
    "com.microsoft::DequantizeLinear": Example(
        ((IMAGE, UINT8), SCALE, ZERO), results=((IMAGE, F),)
    ),
    "com.microsoft::EmbedLayerNormalization": Example(
        (
            ((2, 6), TensorProto.INT32),
            None,
            floats(9, 8),
            floats(6, 8),
            None,
            floats(8),
            floats(8),
        ),
        outputs=2,
        results=((TOKENS, F), ((2,), TensorProto.INT32)),
    ),
    "com.microsoft::FastGelu": Example((TOKENS,), results=((TOKENS, F),)),
    "com.microsoft::FusedConv": Example(
        (IMAGE, floats(8, 4, 3, 3), floats(8)),
        {"activation": "Relu"},
        results=(((1, 8, 4, 6), F),),
    ),
    "com.microsoft::FusedGemm": Example(
        ((6, 8), floats(8, 5), floats(5)), {"activation": "Relu"}, results=(((6, 5), F),)
    ),
    "com.microsoft::FusedMatMul": Example(
        (TOKENS, floats(5, 8)), {"transB": 1}, results=(((2, 6, 5), F),)
    ),
    "com.microsoft::GatherBlockQuantized": Example(
        (bytes_(9, 16), ints(1, 4), floats(9, 1) + 1, bytes_(9, 1)),
        {"block_size": 16, "bits": 8, "quantize_axis": 1},
        results=(((2, 16), F),),
    ),
    "com.microsoft::Gelu": Example((TOKENS,), results=((TOKENS, F),)),
    "com.microsoft::GroupQueryAttention": Example(
        (
            (1, 6, 16),
            (1, 6, 8),
            (1, 6, 8),
            (1, 1, 6, 8),
            (1, 1, 6, 8),
            np.array([5], np.int32),
            np.array([6], np.int32),
        ),
        {"num_heads": 2, "kv_num_heads": 1},
        outputs=3,
        results=(((1, 6, 16), F), ((1, 1, 6, 8), F), ((1, 1, 6, 8), F)),
    ),
    "com.microsoft::MatMulIntegerToFloat": Example(
        ((TOKENS, UINT8), bytes_(8, 5), SCALE, SCALE, ZERO, ZERO), results=(((2, 6, 5), F),)
    ),
    "com.microsoft::MatMulNBits": Example(
        ((2, 6, 32), bytes_(5, 1, 16), floats(5) + 1),
        {"K": 32, "N": 5, "bits": 4, "block_size": 32},
        results=(((2, 6, 5), F),),
    ),
    "com.microsoft::MultiHeadAttention": Example(
        (TOKENS, TOKENS, TOKENS), {"num_heads": 2}, results=((TOKENS, F),)
    ),
    "com.microsoft::QLinearAdd": Example(
        ((IMAGE, UINT8), SCALE, ZERO, (IMAGE, UINT8), SCALE, ZERO, SCALE, ZERO),
        results=((IMAGE, UINT8),),
    ),
    "com.microsoft::QLinearAveragePool": Example(
        ((IMAGE, UINT8), SCALE, ZERO, SCALE, ZERO),
        {"kernel_shape": [2, 2]},
        results=(((1, 4, 5, 7), UINT8),),
    ),
    "com.microsoft::QLinearConcat": Example(
        (SCALE, ZERO, (IMAGE, UINT8), SCALE, ZERO, (IMAGE, UINT8), SCALE, ZERO),
        {"axis": 1},
        results=(((1, 8, 6, 8), UINT8),),
    ),
    "com.microsoft::QLinearGlobalAveragePool": Example(
        ((IMAGE, UINT8), SCALE, ZERO, SCALE, ZERO), results=(((1, 4, 1, 1), UINT8),)
    ),
    "com.microsoft::QLinearLeakyRelu": Example(
        ((IMAGE, UINT8), SCALE, ZERO, SCALE, ZERO), results=((IMAGE, UINT8),)
    ),
    "com.microsoft::QLinearMul": Example(
        ((IMAGE, UINT8), SCALE, ZERO, (IMAGE, UINT8), SCALE, ZERO, SCALE, ZERO),
        results=((IMAGE, UINT8),),
    ),
    "com.microsoft::QLinearSigmoid": Example(
        ((IMAGE, UINT8), SCALE, ZERO, SCALE, ZERO), results=((IMAGE, UINT8),)
    ),
    "com.microsoft::QuantizeLinear": Example((IMAGE, SCALE, ZERO), results=((IMAGE, UINT8),)),
    "com.microsoft::QuickGelu": Example((TOKENS,), results=((TOKENS, F),)),
    "com.microsoft::RotaryEmbedding": Example(
        ((2, 6, 16), np.arange(6)[None].repeat(2, 0), floats(6, 4), floats(6, 4)),
        {"num_heads": 2},
        results=(((2, 6, 16), F),),
    ),
    "SimplifiedLayerNormalization": Example((TOKENS, floats(8)), results=((TOKENS, F),)),
    "com.microsoft::SkipLayerNormalization": Example(
        (TOKENS, TOKENS, floats(8), floats(8)), results=((TOKENS, F),)
    ),
    "com.microsoft::SkipSimplifiedLayerNormalization": Example(
        (TOKENS, TOKENS, floats(8)), results=((TOKENS, F),)
    ),
}


def one_op_proto(op: str) -> onnx.ModelProto:
    """A model of one node, with inferred shapes."""
    example = EXAMPLES[op]
    domain, _, kind = op.rpartition("::")
    names: list[str] = []
    inputs: list[onnx.ValueInfoProto] = []
    constants: list[onnx.TensorProto] = []
    for at, given in enumerate(example.inputs):
        name = f"input_{at}"
        if given is None:
            name = ""
        elif isinstance(given, np.ndarray | np.generic):
            constants.append(numpy_helper.from_array(np.asarray(given), name))
        elif isinstance(given, tuple) and given and isinstance(given[0], tuple):
            inputs.append(helper.make_tensor_value_info(name, given[1], given[0]))
        else:
            assert isinstance(given, tuple)
            inputs.append(helper.make_tensor_value_info(name, F, given))
        names.append(name)
    outputs = [f"output_{at}" for at in range(example.outputs)]
    node = helper.make_node(kind, names, outputs, name="op", domain=domain, **example.attributes)
    results = [
        helper.make_tensor_value_info(name, data_type, shape)
        for name, (shape, data_type) in zip(outputs, example.results, strict=False)
    ] or [helper.make_empty_tensor_value_info(name) for name in outputs]
    opsets = [helper.make_opsetid("", example.opset), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "one", inputs, results, constants)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=11)
    if example.results:
        return model
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def one_op_model(op: str) -> ir.Model:
    """The same, as the product holds it."""
    return ir.from_proto(one_op_proto(op))
