"""Which family executes an ONNX op. An op that is not listed here has no lowering rule."""

import onnx_ir as ir

from graph_ir.errors import InputError
from graph_ir.onnx_values import node_name, op_key
from graph_ir.workload import OpFamily

# Elementwise: every output element depends on one element of each (broadcast) input.
_ELEMENTWISE = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh BatchNormalization BitShift BitwiseAnd BitwiseNot
BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater
GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish
Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus
Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
com.microsoft::BiasAdd com.microsoft::BiasGelu com.microsoft::FastGelu com.microsoft::Gelu
com.microsoft::QLinearAdd com.microsoft::QLinearLeakyRelu com.microsoft::QLinearMul
com.microsoft::QLinearSigmoid com.microsoft::QuickGelu
"""

ELEMENTWISE_OPS: frozenset[str] = frozenset(_ELEMENTWISE.split())

_BY_FAMILY: dict[OpFamily, str] = {
    OpFamily.CONV: """
        Conv ConvInteger ConvTranspose QLinearConv com.microsoft::FusedConv
        """,
    OpFamily.MATMUL: """
        Einsum Gemm MatMul MatMulInteger QLinearMatMul com.microsoft::FusedGemm
        com.microsoft::FusedMatMul com.microsoft::MatMulIntegerToFloat com.microsoft::MatMulNBits
        """,
    OpFamily.ATTENTION: """
        Attention com.microsoft::Attention com.microsoft::GroupQueryAttention
        com.microsoft::MultiHeadAttention egrl::CachedAttention
        """,
    OpFamily.ELEMENTWISE: f"{_ELEMENTWISE} RotaryEmbedding com.microsoft::RotaryEmbedding",
    OpFamily.NORMALIZATION: """
        GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization
        MeanVarianceNormalization RMSNormalization SimplifiedLayerNormalization
        com.microsoft::EmbedLayerNormalization
        com.microsoft::SkipLayerNormalization com.microsoft::SkipSimplifiedLayerNormalization
        """,
    OpFamily.SOFTMAX: "Hardmax LogSoftmax Softmax",
    OpFamily.POOLING: """
        AveragePool LpPool MaxPool com.microsoft::QLinearAveragePool
        """,
    OpFamily.REDUCTION: """
        ArgMax ArgMin CumSum GlobalAveragePool GlobalLpPool GlobalMaxPool ReduceL1 ReduceL2
        ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare TopK com.microsoft::QLinearGlobalAveragePool
        """,
    OpFamily.RESIZE: "AffineGrid GridSample Resize Upsample",
    OpFamily.GATHER: """
        Gather GatherElements GatherND OneHot RoiAlign Scatter ScatterElements ScatterND
        com.microsoft::GatherBlockQuantized
        """,
    OpFamily.MOVEMENT: """
        CenterCropPad Col2Im Concat ConstantOfShape DepthToSpace Dropout Expand EyeLike Flatten
        Identity Pad Range Reshape ReverseSequence Slice SpaceToDepth Split Squeeze TensorScatter
        Tile Transpose Trilu Unsqueeze com.microsoft::QLinearConcat
        """,
    OpFamily.RECURRENT: "GRU LSTM RNN",
    OpFamily.QUANTIZATION: """
        DequantizeLinear DynamicQuantizeLinear QuantizeLinear
        com.microsoft::DequantizeLinear com.microsoft::QuantizeLinear
        """,
}

FAMILIES: dict[str, OpFamily] = {
    op: family for family, ops in _BY_FAMILY.items() for op in ops.split()
}


def family_of(node: ir.Node) -> OpFamily:
    """The family that executes a node.

    Raises:
        InputError: where the op has no lowering rule.
    """
    family = FAMILIES.get(op_key(node))
    if family is None:
        raise InputError(f"no lowering rule for op {op_key(node)} (node {node_name(node)})")
    return family
