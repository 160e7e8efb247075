"""Tiny transformer and recurrent models, in the forms that exporters emit."""

import math

import numpy as np
import onnx
from onnx import TensorProto

from tests.graph_ir.tiny_builder import TinyBuilder


def decomposed_layer_norm(b: TinyBuilder, x: str, width: int, power: str = "Pow") -> str:
    """ReduceMean-Sub-Pow-ReduceMean-Add-Sqrt-Div-Mul-Add over the last axis (opset < 18)."""
    mean = b.node("ReduceMean", x, axes=[-1], keepdims=1)
    centred = b.node("Sub", x, mean)
    if power == "Pow":
        square = b.node("Pow", centred, b.constant(2.0))
    else:
        square = b.node("Mul", centred, centred)
    variance = b.node("ReduceMean", square, axes=[-1], keepdims=1)
    deviation = b.node("Sqrt", b.node("Add", variance, b.constant(1e-5)))
    y = b.node("Div", centred, deviation)
    return b.node("Add", b.node("Mul", y, b.positive(width)), b.weight(width, scale=0.1))


def erf_gelu(b: TinyBuilder, x: str) -> str:
    """x * 0.5 * (1 + Erf(x / sqrt 2))."""
    y = b.node("Erf", b.node("Div", x, b.constant(math.sqrt(2.0))))
    y = b.node("Mul", x, b.node("Add", y, b.constant(1.0)))
    return b.node("Mul", y, b.constant(0.5))


def tanh_gelu(b: TinyBuilder, x: str) -> str:
    """0.5 x (1 + Tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    cube = b.node("Mul", b.node("Pow", x, b.constant(3.0)), b.constant(0.044715))
    y = b.node("Mul", b.node("Add", x, cube), b.constant(math.sqrt(2.0 / math.pi)))
    y = b.node("Add", b.node("Tanh", y), b.constant(1.0))
    return b.node("Mul", b.node("Mul", x, b.constant(0.5)), y)


def linear(b: TinyBuilder, x: str, inner: int, columns: int) -> str:
    y = b.node("MatMul", x, b.weight(inner, columns))
    return b.node("Add", b.weight(columns, scale=0.1), y)


def heads_of(b: TinyBuilder, x: str, tokens: int, heads: int, size: int, perm: list[int]) -> str:
    y = b.node("Reshape", x, b.constant([1, tokens, heads, size], np.int64))
    return b.node("Transpose", y, perm=perm)


def decomposed_attention(b: TinyBuilder, x: str, tokens: int, width: int, mask: str = "") -> str:
    """Two heads of MatMul-Div-(Add)-Softmax-MatMul with projections, residual left out."""
    heads, size = 2, width // 2
    q = heads_of(b, linear(b, x, width, width), tokens, heads, size, [0, 2, 1, 3])
    k = heads_of(b, linear(b, x, width, width), tokens, heads, size, [0, 2, 3, 1])
    v = heads_of(b, linear(b, x, width, width), tokens, heads, size, [0, 2, 1, 3])
    scores = b.node("Div", b.node("MatMul", q, k), b.constant(math.sqrt(size)))
    if mask:
        scores = b.node("Add", scores, mask)
    y = b.node("MatMul", b.node("Softmax", scores, axis=-1), v)
    y = b.node("Transpose", y, perm=[0, 2, 1, 3])
    y = b.node("Reshape", y, b.constant([1, tokens, width], np.int64))
    return linear(b, y, width, width)


def layer_norm_decomposed() -> onnx.ModelProto:
    b = TinyBuilder(17)
    x = b.input("hidden", [1, 5, 8])
    y = decomposed_layer_norm(b, x, 8)
    y = decomposed_layer_norm(b, linear(b, y, 8, 8), 8, power="Mul")
    b.node("Relu", y, to="normalized")
    b.output("normalized", [1, 5, 8])
    return b.build()


def layer_norm_standard() -> onnx.ModelProto:
    b = TinyBuilder(17)
    x = b.input("hidden", [2, 3, 8])
    y = b.node("LayerNormalization", x, b.positive(8), b.weight(8), axis=-1, epsilon=1e-6)
    b.node("MatMul", y, b.weight(8, 4), to="projected")
    b.output("projected", [2, 3, 4])
    return b.build()


def rms_norm_decomposed() -> onnx.ModelProto:
    """Pow-ReduceMean-Add-Sqrt-Div-Mul, the root mean square norm of decoders, in opset 18."""
    b = TinyBuilder(18)
    x = b.input("hidden", [1, 4, 8])
    mean = b.node("ReduceMean", b.node("Pow", x, b.constant(2.0)), b.constant([-1], np.int64))
    y = b.node("Div", x, b.node("Sqrt", b.node("Add", mean, b.constant(1e-6))))
    y = b.node("Mul", b.positive(8), y)
    gate = b.node("MatMul", y, b.weight(8, 16))
    y = b.node(
        "Mul", b.node("Mul", gate, b.node("Sigmoid", gate)), b.node("MatMul", y, b.weight(8, 16))
    )
    b.node("Add", x, b.node("MatMul", y, b.weight(16, 8)), to="hidden_out")
    b.output("hidden_out", [1, 4, 8])
    return b.build()


def gelu_erf() -> onnx.ModelProto:
    b = TinyBuilder(13)
    x = b.input("hidden", [1, 5, 8])
    y = erf_gelu(b, linear(b, x, 8, 16))
    b.node("MatMul", y, b.weight(16, 8), to="out")
    b.output("out", [1, 5, 8])
    return b.build()


def gelu_tanh() -> onnx.ModelProto:
    b = TinyBuilder(13)
    x = b.input("hidden", [1, 5, 8])
    y = tanh_gelu(b, linear(b, x, 8, 16))
    b.node("MatMul", y, b.weight(16, 8), to="out")
    b.output("out", [1, 5, 8])
    return b.build()


def gelu_standard() -> onnx.ModelProto:
    b = TinyBuilder(20)
    x = b.input("hidden", [1, 5, 8])
    y = b.node("Gelu", linear(b, x, 8, 16), approximate="tanh")
    b.node("Gelu", linear(b, y, 16, 8), to="out")
    b.output("out", [1, 5, 8])
    return b.build()


def attention_decomposed() -> onnx.ModelProto:
    b = TinyBuilder(17)
    x = b.input("hidden", [1, 6, 8])
    b.node("Add", decomposed_attention(b, x, 6, 8), x, to="out")
    b.output("out", [1, 6, 8])
    return b.build()


def attention_masked() -> onnx.ModelProto:
    """The additive mask of BERT, computed from an integer attention mask."""
    b = TinyBuilder(17)
    x = b.input("hidden", [1, 6, 8])
    mask = b.input("attention_mask", [1, 6], TensorProto.INT64)
    m = b.node("Unsqueeze", mask, b.constant([1, 2], np.int64))
    m = b.node("Sub", b.constant(1.0), b.cast(m, TensorProto.FLOAT))
    m = b.node("Mul", m, b.constant(-10000.0))
    y = decomposed_attention(b, x, 6, 8, m)
    b.node("Add", y, x, to="out")
    b.output("out", [1, 6, 8])
    return b.build()


def bert_layer() -> onnx.ModelProto:
    """Embeddings, one post-norm encoder layer in fully decomposed form, and a classifier."""
    b = TinyBuilder(17)
    tokens, width = 6, 8
    ids = b.input("input_ids", [1, tokens], TensorProto.INT64)
    mask = b.input("attention_mask", [1, tokens], TensorProto.INT64)
    x = b.node("Gather", b.weight(30, width, scale=1.0), ids)
    x = b.node("Add", x, b.weight(1, tokens, width, scale=0.3))
    x = decomposed_layer_norm(b, x, width)
    m = b.cast(b.node("Unsqueeze", mask, b.constant([1, 2], np.int64)), TensorProto.FLOAT)
    m = b.node("Mul", b.node("Sub", b.constant(1.0), m), b.constant(-10000.0))
    x = decomposed_layer_norm(
        b, b.node("Add", decomposed_attention(b, x, tokens, width, m), x), width
    )
    y = linear(b, erf_gelu(b, linear(b, x, width, 16)), 16, width)
    x = decomposed_layer_norm(b, b.node("Add", y, x), width)
    first = b.node("Gather", x, b.constant(0, np.int64), axis=1)
    y = b.node("Tanh", b.node("Gemm", first, b.weight(width, width), b.weight(width)))
    b.node("Gemm", y, b.weight(width, 2), b.weight(2), to="logits")
    b.output("logits", [1, 2])
    return b.build()


def attention_standard() -> onnx.ModelProto:
    """The Attention operator of opset 23 with a float mask, 3-D inputs."""
    b = TinyBuilder(23)
    x = b.input("hidden", [1, 6, 8])
    mask = b.input("mask", [6, 6])
    q, k, v = (b.node("MatMul", x, b.weight(8, 8)) for _ in range(3))
    y = b.node("Attention", q, k, v, mask, q_num_heads=2, kv_num_heads=2)
    b.node("Add", y, x, to="out")
    b.output("out", [1, 6, 8])
    return b.build()


def decoder_step() -> onnx.ModelProto:
    """One decode step: rotary embedding, grouped-query attention over a grown KV cache."""
    b = TinyBuilder(23)
    x = b.input("hidden", [1, 1, 16])
    past_key = b.input("past_key", [1, 1, 7, 8])
    past_value = b.input("past_value", [1, 1, 7, 8])
    position = b.input("position", [1, 1], TensorProto.INT64)
    y = b.node("RMSNormalization", x, b.positive(16), axis=-1, epsilon=1e-5)
    q = heads_of(b, b.node("MatMul", y, b.weight(16, 16)), 1, 2, 8, [0, 2, 1, 3])
    k = heads_of(b, b.node("MatMul", y, b.weight(16, 8)), 1, 1, 8, [0, 2, 1, 3])
    v = heads_of(b, b.node("MatMul", y, b.weight(16, 8)), 1, 1, 8, [0, 2, 1, 3])
    angles = np.outer(np.arange(16), 100.0 ** (-np.arange(4) / 4)).astype(np.float32)
    cosine, sine = b.constant(np.cos(angles)), b.constant(np.sin(angles))
    q = b.node("RotaryEmbedding", q, cosine, sine, position)
    k = b.node("RotaryEmbedding", k, cosine, sine, position)
    keys = b.node("Concat", past_key, k, axis=2, to="present_key")
    values = b.node("Concat", past_value, v, axis=2, to="present_value")
    y = b.node("Attention", q, keys, values)
    y = b.node(
        "Reshape", b.node("Transpose", y, perm=[0, 2, 1, 3]), b.constant([1, 1, 16], np.int64)
    )
    b.node("Add", x, b.node("MatMul", y, b.weight(16, 16)), to="out")
    b.output("out", [1, 1, 16])
    b.output("present_key", [1, 1, 8, 8])
    b.output("present_value", [1, 1, 8, 8])
    return b.build()


def tied_embedding() -> onnx.ModelProto:
    """One table used by a Gather and, transposed, by the output projection."""
    b = TinyBuilder(18)
    ids = b.input("input_ids", [1, 4], TensorProto.INT64)
    table = b.weight(12, 8, name="embedding", scale=1.0)
    x = b.node("Tanh", b.node("Gather", table, ids, axis=0))
    head = b.node("Transpose", table, perm=[1, 0])
    b.node("MatMul", x, head, to="logits")
    b.output("logits", [1, 4, 12])
    return b.build()


def lstm() -> onnx.ModelProto:
    """A bidirectional LSTM with its states as inputs and outputs."""
    b = TinyBuilder(14)
    x = b.input("sequence", [5, 1, 4])
    h = b.input("state_h", [2, 1, 3])
    c = b.input("state_c", [2, 1, 3])
    weights = [b.weight(2, 12, 4), b.weight(2, 12, 3), b.weight(2, 24)]
    y, _, _ = b.nodes_of(
        "LSTM", [x, *weights, "", h, c], ["all_h", "last_h", "last_c"],
        hidden_size=3, direction="bidirectional",
    )  # fmt: skip
    y = b.node(
        "Reshape", b.node("Transpose", y, perm=[0, 2, 1, 3]), b.constant([5, 1, -1], np.int64)
    )
    b.node("MatMul", y, b.weight(6, 2), to="out")
    b.output("out", [5, 1, 2])
    b.output("last_h", [2, 1, 3])
    b.output("last_c", [2, 1, 3])
    return b.build()


def gru() -> onnx.ModelProto:
    b = TinyBuilder(14)
    x = b.input("sequence", [5, 1, 4])
    b.nodes_of(
        "GRU", [x, b.weight(1, 9, 4), b.weight(1, 9, 3), b.weight(1, 18)], ["", "last"],
        hidden_size=3, linear_before_reset=1,
    )  # fmt: skip
    b.output("last", [1, 1, 3])
    return b.build()


def int4_matmul() -> onnx.ModelProto:
    """Blocked int4 weights behind DequantizeLinear, opset 21."""
    b = TinyBuilder(21)
    x = b.input("hidden", [2, 32])
    values = b.random.integers(-7, 8, (32, 16))
    packed = (values.reshape(-1, 2)[:, 0] & 15) | ((values.reshape(-1, 2)[:, 1] & 15) << 4)
    b.initializers.append(
        onnx.helper.make_tensor(
            "int4_weight", TensorProto.INT4, [32, 16], packed.astype(np.uint8).tobytes(), raw=True
        )
    )
    w = b.node("DequantizeLinear", "int4_weight", b.positive(2, 16), axis=0, block_size=16)
    b.node("MatMul", x, w, to="out")
    b.output("out", [2, 16])
    return b.build()


def dynamic_quantization() -> onnx.ModelProto:
    """DynamicQuantizeLinear-MatMulInteger-Cast-Mul as onnxruntime's quantize_dynamic writes it."""
    b = TinyBuilder(13)
    x = b.input("hidden", [1, 3, 8])
    q, scale, zero = b.nodes_of("DynamicQuantizeLinear", [x], 3)
    weight = b.constant(b.random.integers(-127, 128, (8, 4)), np.int8)
    y = b.node("MatMulInteger", q, weight, zero, b.constant(0, np.int8))
    y = b.cast(y, TensorProto.FLOAT)
    y = b.node("Mul", y, b.node("Mul", scale, b.constant(0.01)))
    b.node("Add", y, b.weight(4), to="out")
    b.output("out", [1, 3, 4])
    return b.build()


def contrib_bert_layer() -> onnx.ModelProto:
    """com.microsoft operators as onnxruntime's transformer optimizer writes them."""
    b = TinyBuilder(14, contrib=True)
    ms = "com.microsoft"
    x = b.input("hidden", [1, 6, 8])
    q, k, v = (b.node("MatMul", x, b.weight(8, 8)) for _ in range(3))
    y = b.node("MultiHeadAttention", q, k, v, b.weight(24, scale=0.1), domain=ms, num_heads=2)
    y = b.node("MatMul", y, b.weight(8, 8))
    y = b.node("SkipLayerNormalization", y, x, b.positive(8), b.weight(8), b.weight(8), domain=ms,
               epsilon=1e-12)  # fmt: skip
    z = b.node("BiasGelu", b.node("MatMul", y, b.weight(8, 16)), b.weight(16), domain=ms)
    z = b.node("FusedMatMul", z, b.weight(8, 16), domain=ms, transB=1, alpha=0.5)
    z = b.node("FastGelu", z, domain=ms)
    z = b.node("QuickGelu", b.node("Gelu", z, domain=ms), domain=ms, alpha=1.702)
    b.node("Add", z, y, to="out")
    b.output("out", [1, 6, 8])
    return b.build()


SEQUENCE_MODELS = {
    "layer_norm_decomposed": layer_norm_decomposed,
    "layer_norm_standard": layer_norm_standard,
    "rms_norm_decomposed": rms_norm_decomposed,
    "gelu_erf": gelu_erf,
    "gelu_tanh": gelu_tanh,
    "gelu_standard": gelu_standard,
    "attention_decomposed": attention_decomposed,
    "attention_masked": attention_masked,
    "attention_standard": attention_standard,
    "bert_layer": bert_layer,
    "decoder_step": decoder_step,
    "tied_embedding": tied_embedding,
    "lstm": lstm,
    "gru": gru,
    "int4_matmul": int4_matmul,
    "dynamic_quantization": dynamic_quantization,
    "contrib_bert_layer": contrib_bert_layer,
}
