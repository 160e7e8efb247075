"""The function of the normal form against its float64 twin, executed by onnxruntime."""

from itertools import product

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from graph_ir.decoder.attention_function import (
    OLDEST_OPSET,
    attention_node,
    carry_functions,
    overload_of,
)
from graph_ir.decoder.decoder import Attention
from graph_ir.functions import inline_functions
from tests.decoder.reference import causal_attention
from tests.decoder.tiny import alibi_slopes, tiny_decoder


def float_value(name, *shape):
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))


def model_of(attention, opset):
    """One attention as a model."""
    a = attention
    inputs = [
        float_value("query", 1, a.query_heads, "rows", a.head_width),
        float_value("key", 1, a.kv_heads, "rows", a.head_width),
        float_value("value", 1, a.kv_heads, "rows", a.value_width),
        float_value("sinks", a.query_heads),
    ][: 4 if a.sinks else 3]
    node = attention_node(attention, 0, *inputs)
    out = node.outputs[0]
    out.name, out.shape = "output", ir.Shape([1, a.query_heads, "rows", a.value_width])
    out.type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(inputs, [out], nodes=[node], opset_imports={"": opset}, name="one")
    model = ir.Model(graph, ir_version=8)
    carry_functions(model)
    return model


def feeds_of(attention, rows, seed=0):
    random = np.random.default_rng(seed)
    a = attention
    feeds = {
        "query": random.standard_normal((1, a.query_heads, rows, a.head_width)) * 2,
        "key": random.standard_normal((1, a.kv_heads, rows, a.head_width)) * 2,
        "value": random.standard_normal((1, a.kv_heads, rows, a.value_width)),
        "sinks": random.standard_normal(a.query_heads) * 2,
    }
    return {
        name: array.astype(np.float32)
        for name, array in feeds.items()
        if name != "sinks" or a.sinks
    }


def run(model, feeds):
    session = ort.InferenceSession(ir.serde.serialize_model(model).SerializeToString())
    return session.run(None, feeds)[0]


@pytest.mark.parametrize(
    ("softcap", "slopes", "window", "sinks"),
    list(product((0.0, 1.5), (False, True), (0, 3), (0, 1))),
)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_every_combination_equals_the_twin(softcap, slopes, window, sinks, kv_heads):
    attention = Attention(
        "attention",
        query_heads=4,
        kv_heads=kv_heads,
        head_width=8,
        value_width=6,
        scale=0.3,
        softcap=softcap,
        window=window,
        slopes=alibi_slopes(4) if slopes else (),
        sinks=bool(sinks),
    )
    model = model_of(attention, 18)
    for rows in (1, 2, 9):
        feeds = feeds_of(attention, rows)
        expected = causal_attention(
            feeds["query"], feeds["key"], feeds["value"], attention, feeds.get("sinks")
        )
        assert np.abs(run(model, feeds) - expected).max() < 1e-5


@pytest.mark.parametrize("opset", [OLDEST_OPSET, 17, 21, 23, 25])
def test_any_opset_and_inlined(opset):
    attention = Attention(
        "attention", 4, 2, 8, 8, 0.3, 2.0, 3, alibi_slopes(4), sinks=True, form=""
    )
    model = model_of(attention, opset)
    feeds = feeds_of(attention, 7)
    called = run(model, feeds)
    inline_functions(model, "test")
    assert not model.functions
    assert all(not node.domain for node in model.graph)
    np.testing.assert_array_equal(run(model, feeds), called)


def test_attentions_of_different_kinds_live_in_one_model():
    decoder = tiny_decoder(layers=3, windows=(0, 4), sinks=False)
    assert [overload_of(attention) for attention in decoder.layers] == ["", "window", ""]
    feeds = {
        "input_ids": np.arange(12)[None] % decoder.vocabulary,
        "positions": np.arange(12),
    }
    logits = run(decoder.model, feeds)
    assert logits.shape == (1, 12, decoder.vocabulary)
    assert logits.std() > 0.1


def test_a_tiny_decoder_is_causal_and_reads_its_positions():
    decoder = tiny_decoder(seed=3)
    tokens = np.arange(10)[None] * 7 % decoder.vocabulary
    whole = run(decoder.model, {"input_ids": tokens, "positions": np.arange(10)})
    part = run(decoder.model, {"input_ids": tokens[:, :6], "positions": np.arange(6)})
    np.testing.assert_allclose(whole[:, :6], part, atol=1e-5)
    moved = run(decoder.model, {"input_ids": tokens, "positions": np.arange(10) + 5})
    np.testing.assert_allclose(whole, moved, atol=1e-4)  # rotation is relative
    spread = run(decoder.model, {"input_ids": tokens, "positions": np.arange(10) * 2})
    assert np.abs(whole - spread).max() > 0.05


def test_the_same_seed_gives_the_same_decoder():
    assert tiny_decoder(seed=1).source_sha256 == tiny_decoder(seed=1).source_sha256
    assert tiny_decoder(seed=1).source_sha256 != tiny_decoder(seed=2).source_sha256
