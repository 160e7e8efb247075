"""What is measured about an attention is what was built, whatever it is a mixture of."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.decoder.decoder import LOGITS, POSITIONS, TOKENS
from graph_ir.decoder.read import read_decoder
from tests.decoder.families import FAMILIES, VOCABULARY, qwen2
from tests.decoder.mixed_source import mixed_source
from tests.decoder.stepping import step_by_step
from tests.decoder.test_families import assert_equal_logits, normal_logits
from tests.decoder.tiny import alibi_slopes

reals = st.floats(-3.0, 3.0, width=32)


def single(value):
    return float(np.float32(value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mixed")


@settings(max_examples=8)
@given(
    kv_heads=st.sampled_from([1, 2, 4]),
    head_width=st.sampled_from([6, 8, 20]),
    scale=st.floats(0.0625, 2.0, width=32),
    softcap=st.sampled_from([0.0, 2.5, 30.0]),
    window=st.sampled_from([0, 4, 7]),
    slopes=st.sampled_from([None, alibi_slopes(4), (0.9, 0.33, 0.07, 0.011)]),
    sinks=st.none() | st.tuples(reals, reals, reals, reals),
    cached=st.booleans(),
)
def test_any_mixture(folder, **numbers):
    path = mixed_source(**numbers).save(folder / "mixed.onnx")
    decoder = read_decoder(path, OnnxRuntimeRunner())
    (attention,) = decoder.layers
    assert attention.kv_heads == numbers["kv_heads"]
    assert attention.head_width == attention.value_width == numbers["head_width"]
    assert attention.window == numbers["window"]
    assert attention.scale == pytest.approx(single(numbers["scale"]), rel=1e-6)
    assert attention.softcap == numbers["softcap"]
    expected = tuple(single(slope) for slope in numbers["slopes"] or ())
    assert attention.slopes == expected
    assert attention.sinks == (numbers["sinks"] is not None)
    if attention.sinks:
        node = next(node for node in decoder.model.graph if node.op_type == "CausalAttention")
        stored = ir.convenience.get_const_tensor(node.inputs[3]).numpy()
        np.testing.assert_array_equal(stored, np.array(numbers["sinks"], np.float32))


@pytest.mark.parametrize("present", [False, True])
def test_a_graph_without_caches_is_a_decoder_too(present, folder):
    path = mixed_source(cached=False, present=present).save(folder / "plain.onnx")
    decoder = read_decoder(path, OnnxRuntimeRunner())
    assert [a.kv_heads for a in decoder.layers] == [2]
    assert_equal_logits(path, decoder)


def test_positions_that_follow_from_the_number_of_tokens_are_an_input(folder):
    path = mixed_source(cached=False).save(folder / "counted.onnx")
    decoder = read_decoder(path, OnnxRuntimeRunner())
    tokens = np.arange(12) % VOCABULARY
    execute = OnnxRuntimeRunner().open(decoder.model, [LOGITS])
    near, far, shifted = (
        execute({TOKENS: tokens[None], POSITIONS: positions})[LOGITS]
        for positions in (np.arange(12), 3 * np.arange(12), 40 + np.arange(12))
    )
    # Rotary positions tell distances: three times as far is another text, further on is not.
    assert np.abs(far - near).max() > 1e-2 * np.ptp(near)
    np.testing.assert_allclose(shifted, near, atol=1e-4 * np.ptp(near))


def test_the_normal_form_reads_as_itself(folder):
    decoder = read_decoder(qwen2().save(folder / "first.onnx"), OnnxRuntimeRunner())
    onnx.save(ir.serde.serialize_model(decoder.model), folder / "again.onnx")
    again = read_decoder(folder / "again.onnx", OnnxRuntimeRunner())
    for first, second in zip(decoder.layers, again.layers, strict=True):
        assert (first.kv_heads, first.window) == (second.kv_heads, second.window)
        assert second.scale == 1.0  # the function's body has it applied to the query already
    names = [value.name for value in again.model.graph.inputs]
    assert names == ["input_ids", "positions"]


def test_reading_twice_gives_the_same_bytes(folder):
    path = qwen2().save(folder / "same.onnx")
    first, second = (
        ir.serde.serialize_model(read_decoder(path, OnnxRuntimeRunner()).model) for _ in range(2)
    )
    assert first.SerializeToString() == second.SerializeToString()


@pytest.mark.parametrize("family", ["qwen2", "gpt-oss"])
def test_half_precision_sources(family, folder):
    path = folder / "half.onnx"
    onnx.save(halved(FAMILIES[family](seed=4).model()), path)
    decoder = read_decoder(path, OnnxRuntimeRunner())
    assert decoder.model.graph.outputs[0].dtype is ir.DataType.FLOAT
    assert [a.scale for a in decoder.layers] == pytest.approx([8**-0.5] * 2, rel=1e-3)
    tokens = np.random.default_rng(3).integers(0, VOCABULARY, 60)
    expected = step_by_step(path, tokens).astype(np.float32)
    difference = np.abs(normal_logits(decoder, tokens) - expected).max()
    assert difference < 0.02 * np.ptp(expected)


def halved(model):
    """A model whose floats are float16."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            limits = np.finfo(np.float16)
            array = np.clip(onnx.numpy_helper.to_array(tensor), limits.min, limits.max)
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float16), name))
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == onnx.TensorProto.FLOAT:
                attribute.i = onnx.TensorProto.FLOAT16
    return model
