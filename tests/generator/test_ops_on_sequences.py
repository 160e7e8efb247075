"""Generated ops of transformers have the fields of lowered ones."""

import numpy as np
import pytest
from onnx import TensorProto

from egrl.generator.ops.builder import Value, WorkloadBuilder
from egrl.generator.ops.products import Heads, attention, matmul
from egrl.generator.ops.rotary import cache_write, rotary
from egrl.generator.ops.vectors import embedding, layer_norm, rms_norm
from tests.generator.support import assert_same, check
from tests.graph_ir.tiny_builder import TinyBuilder

TOKENS, WIDTH, HEADS, DEPTH = 6, 16, 4, 4


def _linear(b: TinyBuilder, x: str, inner: int, columns: int) -> str:
    return b.node("Add", b.node("MatMul", x, b.weight(inner, columns)), b.weight(columns))


def _by_head(b: TinyBuilder, x: str, heads: int, perm: list[int]) -> str:
    y = b.node("Reshape", x, b.constant([1, TOKENS, heads, DEPTH], np.int64))
    return b.node("Transpose", y, perm=perm)


def _onnx_layer(b: TinyBuilder, x: str, mask: str) -> str:
    q = _by_head(b, _linear(b, x, WIDTH, WIDTH), HEADS, [0, 2, 1, 3])
    k = _by_head(b, _linear(b, x, WIDTH, WIDTH), HEADS, [0, 2, 3, 1])
    v = _by_head(b, _linear(b, x, WIDTH, WIDTH), HEADS, [0, 2, 1, 3])
    # Multiplied, since a division by a constant would count as one operation, too.
    scores = b.node("Mul", b.node("MatMul", q, k), b.constant(0.5))
    if mask:
        scores = b.node("Add", scores, mask)
    y = b.node("MatMul", b.node("Softmax", scores, axis=-1), v)
    y = b.node("Transpose", y, perm=[0, 2, 1, 3])
    y = b.node("Reshape", y, b.constant([1, TOKENS, WIDTH], np.int64))
    y = b.node("Add", _linear(b, y, WIDTH, WIDTH), x)
    y = b.node("LayerNormalization", y, b.positive(WIDTH), b.weight(WIDTH), axis=-1)
    z = b.node("Gelu", _linear(b, y, WIDTH, 4 * WIDTH))
    z = b.node("Add", _linear(b, z, 4 * WIDTH, WIDTH), y)
    return b.node("LayerNormalization", z, b.positive(WIDTH), b.weight(WIDTH), axis=-1)


def _generated_layer(builder: WorkloadBuilder, name: str, x: Value, mask: Value | None) -> Value:
    heads = Heads(HEADS, 1, TOKENS, TOKENS, DEPTH)
    q, k, v = (matmul(builder, f"{name}.{part}", x, WIDTH) for part in "qkv")
    y = attention(builder, f"{name}.attention", q, k, v, heads, mask)
    y = matmul(builder, f"{name}.projection", y, WIDTH, leading=(1, TOKENS), combined=(x,))
    y = layer_norm(builder, f"{name}.norm1", y)
    z = matmul(builder, f"{name}.expand", y, 4 * WIDTH, activation="gelu")
    z = matmul(builder, f"{name}.contract", z, WIDTH, combined=(y,))
    return layer_norm(builder, f"{name}.norm2", z)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("execution_type", ["fp16", "int8"])
def test_two_encoder_layers(execution_type: str, masked: bool) -> None:
    b = TinyBuilder(20)
    x = b.input("hidden", [1, TOKENS, WIDTH])
    mask = b.input("mask", [1, 1, TOKENS, TOKENS]) if masked else ""
    x = _onnx_layer(b, _onnx_layer(b, x, mask), mask)
    b.nodes[-1].output[0] = "result"
    b.output("result", [1, TOKENS, WIDTH])
    builder = WorkloadBuilder("main", execution_type)
    y = builder.input("hidden", (1, TOKENS, WIDTH))
    m = builder.input("mask", (1, 1, TOKENS, TOKENS)) if masked else None
    y = _generated_layer(builder, "0", y, m)
    y = _generated_layer(builder, "1", y, m)
    workload = builder.finish([y])
    check(workload)
    assert_same(workload, b.build())


def test_queries_keys_and_values_of_one_product() -> None:
    b = TinyBuilder(20)
    x = _linear(b, b.input("hidden", [1, TOKENS, WIDTH]), WIDTH, 3 * WIDTH)
    parts = b.nodes_of("Split", [x, b.constant([WIDTH] * 3, np.int64)], 3, axis=2)
    q = _by_head(b, parts[0], HEADS, [0, 2, 1, 3])
    k = _by_head(b, parts[1], HEADS, [0, 2, 3, 1])
    v = _by_head(b, parts[2], HEADS, [0, 2, 1, 3])
    scores = b.node("Mul", b.node("MatMul", q, k), b.constant(0.5))
    b.node("MatMul", b.node("Softmax", scores, axis=-1), v, to="result")
    b.output("result", [1, HEADS, TOKENS, DEPTH])
    builder = WorkloadBuilder("main", "fp16")
    y = matmul(builder, "qkv", builder.input("hidden", (1, TOKENS, WIDTH)), 3 * WIDTH)
    heads = Heads(HEADS, 1, TOKENS, TOKENS, DEPTH)
    assert_same(builder.finish([attention(builder, "a", y, y, y, heads)]), b.build())


def test_embeddings_and_their_norm() -> None:
    b = TinyBuilder(20)
    ids = b.input("ids", [1, TOKENS], TensorProto.INT32)
    types = b.input("types", [1, TOKENS], TensorProto.INT32)
    x = b.node("Gather", b.weight(100, WIDTH), ids)
    y = b.node("Gather", b.weight(2, WIDTH), types)
    z = b.node("Add", b.node("Add", x, y), b.weight(1, TOKENS, WIDTH))
    b.node("LayerNormalization", z, b.positive(WIDTH), b.weight(WIDTH), axis=-1, to="result")
    b.output("result", [1, TOKENS, WIDTH])
    builder = WorkloadBuilder("main", "fp16")
    words = builder.weight("words", (100, WIDTH))
    v = embedding(builder, "x", words, builder.input("ids", (1, TOKENS), "int32"))
    table = builder.weight("table", (2, WIDTH))
    w = embedding(builder, "y", table, builder.input("types", (1, TOKENS), "int32"))
    positions = builder.weight("positions", (1, TOKENS, WIDTH))
    assert_same(builder.finish([layer_norm(builder, "n", v, (w, positions))]), b.build())


def test_gated_feed_forward_after_a_root_mean_square_norm() -> None:
    b = TinyBuilder(18)
    x = b.input("hidden", [1, TOKENS, WIDTH])
    mean = b.node("ReduceMean", b.node("Mul", x, x), b.constant([-1], np.int64))
    y = b.node("Div", x, b.node("Sqrt", b.node("Add", mean, b.constant(1e-6))))
    y = b.node("Mul", b.positive(WIDTH), y)
    gate = b.node("MatMul", y, b.weight(WIDTH, 40))
    gate = b.node("Mul", gate, b.node("Sigmoid", gate))
    z = b.node("Mul", gate, b.node("MatMul", y, b.weight(WIDTH, 40)))
    b.node("Add", x, b.node("MatMul", z, b.weight(40, WIDTH)), to="result")
    b.output("result", [1, TOKENS, WIDTH])
    builder = WorkloadBuilder("main", "fp16")
    v = builder.input("hidden", (1, TOKENS, WIDTH))
    w = rms_norm(builder, "norm", v)
    g = matmul(builder, "gate", w, 40, bias=False, activation="silu")
    u = matmul(builder, "up", w, 40, bias=False, combined=(g,))
    down = matmul(builder, "down", u, WIDTH, bias=False, combined=(v,))
    assert_same(builder.finish([down]), b.build())


@pytest.mark.parametrize(("shared", "group"), [(4, 1), (2, 2), (1, 4)])
def test_a_step_with_a_cache(shared: int, group: int) -> None:
    """Rotated queries and keys, both caches written, attention of grouped heads."""
    positions = 32
    grouped = [1, shared, 1, positions, DEPTH]
    b = TinyBuilder(18)
    x = b.input("hidden", [1, 1, WIDTH])
    cosine, sine = b.input("cosine", [1, DEPTH]), b.input("sine", [1, DEPTH])
    slot = b.input("slot", [1, shared, 1, 3], TensorProto.INT64)
    mask = b.input("mask", [1, positions])

    def rotated(y: str) -> str:
        half = b.constant([DEPTH // 2] * 2, np.int64)
        one, two = b.nodes_of("Split", [y, half], 2, axis=-1)
        turned = b.node("Concat", b.node("Neg", two), one, axis=-1)
        return b.node("Add", b.node("Mul", y, cosine), b.node("Mul", turned, sine))

    heads = [1, shared, group, 1, DEPTH] if group > 1 else [1, shared, 1, DEPTH]
    q = b.node("MatMul", x, b.weight(WIDTH, WIDTH))
    q = rotated(b.node("Reshape", q, b.constant(heads, np.int64)))
    alone = b.constant([1, shared, 1, DEPTH], np.int64)
    k = b.node("Reshape", b.node("MatMul", x, b.weight(WIDTH, shared * DEPTH)), alone)
    old = b.input("keys", [1, shared, positions, DEPTH])
    keys = b.node("ScatterND", old, slot, rotated(k), to="new_keys")
    v = b.node("Reshape", b.node("MatMul", x, b.weight(WIDTH, shared * DEPTH)), alone)
    old = b.input("values", [1, shared, positions, DEPTH])
    values = b.node("ScatterND", old, slot, v, to="new_values")
    if group > 1:
        repeated = b.constant([1, shared, group, positions, DEPTH], np.int64)
        keys = b.node("Expand", b.node("Reshape", keys, b.constant(grouped, np.int64)), repeated)
        values = b.node("Reshape", values, b.constant(grouped, np.int64))
        values = b.node("Expand", values, repeated)
    perm = [0, 1, 2, 4, 3] if group > 1 else [0, 1, 3, 2]
    scores = b.node("MatMul", q, b.node("Transpose", keys, perm=perm))
    scores = b.node("Add", b.node("Mul", scores, b.constant(0.5)), mask)
    b.node("MatMul", b.node("Softmax", scores, axis=-1), values, to="result")
    b.output("result", heads)
    b.output("new_keys", [1, shared, positions, DEPTH])
    b.output("new_values", [1, shared, positions, DEPTH])

    builder = WorkloadBuilder("main", "fp16")
    h = builder.input("hidden", (1, 1, WIDTH))
    angles = builder.input("cosine", (1, DEPTH)), builder.input("sine", (1, DEPTH))
    at = builder.input("slot", (1, shared, 1, 3), "int32")
    hidden_positions = builder.input("mask", (1, positions))
    extents = Heads(shared, group, 1, positions, DEPTH)
    single = (1, shared, 1, DEPTH)
    query = matmul(builder, "q", h, WIDTH, bias=False)
    query = rotary(builder, "q.rotary", query, extents.result, *angles)
    key = matmul(builder, "k", h, shared * DEPTH, bias=False)
    key = rotary(builder, "k.rotary", key, single, *angles)
    cache = (1, shared, positions, DEPTH)
    kept = cache_write(builder, "k.write", builder.input("keys", cache), at, key)
    value = matmul(builder, "v", h, shared * DEPTH, bias=False)
    held = cache_write(builder, "v.write", builder.input("values", cache), at, value)
    mixed = attention(builder, "a", query, kept, held, extents, hidden_positions)
    workload = builder.finish([mixed, kept, held])
    check(workload)
    assert_same(workload, b.build())
