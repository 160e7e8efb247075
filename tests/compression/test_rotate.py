"""Rotation of the residual stream: the function stays, the weights do not."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egrl.compression.compress import Compression, compress
from graph_ir.compression.residual_stream import find_residual_stream
from graph_ir.compression.rotate import rotate_model
from graph_ir.compression.rotate_matrix import ROTATIONS, make_rotation
from graph_ir.errors import InputError
from tests.compression.decoders import NORMS, Decoder, ids, loaded, logits


def constants(model: ir.Model) -> dict[str, bytes]:
    return {name: value.const_value.tobytes() for name, value in model.graph.initializers.items()}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_function_is_kept_and_weights_are_not(tmp_path, norm, tied, biases, rotation):
    decoder = Decoder(norm=norm, tied=tied, biases=biases, layer_scale=biases)
    model = loaded(decoder, tmp_path).graph_model
    before, weights = logits(model, ids()), constants(model)
    result = rotate_model(model, 5, rotation)
    assert result.modified
    after = logits(model, ids())
    assert np.abs(after - before).max() < 2e-5 * np.ptp(before)
    matrices = [name for name in weights if name.endswith((".weight", "table"))]
    assert len(matrices) >= 8
    assert not [name for name in matrices if weights[name] in constants(model).values()]


@settings(max_examples=8)
@given(
    st.integers(17, 60),
    st.sampled_from(NORMS),
    st.booleans(),
    st.sampled_from(sorted(ROTATIONS)),
    st.integers(0, 999),
)
def test_any_width(tmp_path_factory, width, norm, biases, rotation, seed):
    folder = tmp_path_factory.mktemp("width")
    model = loaded(Decoder(width, norm, biases=biases, seed=seed), folder).graph_model
    before = logits(model, ids(2))
    rotate_model(model, seed, rotation)
    assert np.abs(logits(model, ids(2)) - before).max() < 5e-5 * np.ptp(before)


@pytest.mark.parametrize("rotation", ROTATIONS)
@given(width=st.integers(2, 200), seed=st.integers(0, 99), keeps_ones=st.booleans())
@settings(max_examples=25)
def test_matrices_are_orthogonal(rotation, width, seed, keeps_ones):
    drawn = make_rotation(width, seed, rotation, keeps_ones=keeps_ones)
    matrix = drawn.apply(np.eye(width))
    assert np.allclose(matrix @ matrix.T, np.eye(width), atol=1e-12)
    if keeps_ones:
        assert np.allclose(np.ones(width) @ matrix, 1, atol=1e-11)


def test_a_hadamard_of_a_power_of_two_spreads_every_channel_evenly():
    matrix = make_rotation(64, 0, "hadamard").apply(np.eye(64))
    assert np.allclose(np.abs(matrix), 1 / 8)


def test_an_outlying_channel_is_spread(tmp_path):
    model = loaded(Decoder(), tmp_path).graph_model
    rotate_model(model)
    table = model.graph.initializers["table.rotated"].const_value.numpy()
    sizes = np.sqrt((table**2).mean(axis=0))
    assert sizes.max() / np.median(sizes) < 3


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_seed_gives_the_same_bytes_on_any_number_of_threads(tmp_path, rotation):
    from threadpoolctl import threadpool_limits

    models = []
    for threads, seed in ((1, 3), (2, 3), (1, 4)):
        model = loaded(Decoder(96), tmp_path).graph_model
        with threadpool_limits(threads, user_api="blas"):
            rotate_model(model, seed, rotation)
        models.append(constants(model))
    assert models[0] == models[1]
    assert models[0] != models[2]


def test_a_tied_table_becomes_two_and_scales_become_ones(tmp_path):
    model = loaded(Decoder(tied=True), tmp_path).graph_model
    rotate_model(model)
    nodes = {node.name: node for node in model.graph}
    assert nodes["head"].inputs[1] is not nodes["embedding"].inputs[0]
    assert "table" not in model.graph.initializers
    scale = nodes["final_norm"].inputs[1].const_value.numpy()
    assert (scale == 1).all()


def test_a_tied_table_stays_one_where_the_last_norm_has_one_scale_for_all(tmp_path):
    decoder = Decoder(tied=True)
    source = decoder.model()
    for tensor in source.graph.initializer:
        if tensor.name == "final_norm.scale":
            decoder.weights[tensor.name] = np.full(24, 0.5, np.float32)
    from onnx import numpy_helper

    for tensor in source.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(decoder.weights[tensor.name], tensor.name))
    model = loaded(decoder, tmp_path, source).graph_model
    before = logits(model, ids())
    rotate_model(model)
    nodes = {node.name: node for node in model.graph}
    assert nodes["head"].inputs[1] is nodes["embedding"].inputs[0]
    assert np.abs(logits(model, ids()) - before).max() < 2e-5 * np.ptp(before)


class PostNorm(Decoder):
    """The stream itself is normalized, as in BERT."""

    def embedded(self):
        return self.normed(super().embedded(), "embedding_norm")


class Squashed(Decoder):
    """The stream goes through a function by channel."""

    def embedded(self):
        return self.node("Tanh", [super().embedded()], "squash")


class Shared(Decoder):
    """What is written to the stream is read elsewhere as well."""

    def gated(self, x):
        written = super().gated(x)
        return self.node("Add", [written, self.node("Relu", [written], "peek")], "peeked")


@pytest.mark.parametrize(
    ("kind", "output", "message"),
    [
        (PostNorm, None, "attention_norm_square (Pow): reads a stream that a norm has scaled"),
        (Squashed, None, "squash (Tanh): does not commute with a rotation"),
        (Shared, None, "down (MatMul): what it writes to the stream is also read elsewhere"),
        (Decoder, "body", "ffn_residual (Add): the stream is the graph's output logits"),
        (Decoder, "ids", "expected a Gather of rows of a constant table"),
        (Decoder, "embedded", "embedding (Gather): no norm reads what this lookup yields"),
    ],
)
def test_what_breaks_the_stream_is_named_and_nothing_changes(tmp_path, kind, output, message):
    decoder = kind()
    if output == "ids":
        decoder.nodes.append(_cast())
        source = decoder.model("real")
    elif output == "embedded":
        source = decoder.model(
            decoder.node("Sigmoid", [decoder.linear(decoder.embedded(), 24, "p")], "s")
        )
    else:
        source = decoder.model(decoder.body() if output else None)
    model = loaded(decoder, tmp_path, source).graph_model
    before = constants(model)
    with pytest.raises(InputError) as caught:
        rotate_model(model)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert constants(model) == before


def _cast():
    from onnx import helper

    return helper.make_node("Cast", ["ids"], ["real"], "cast", to=1)


def test_stream_of_a_decoder_is_counted(tmp_path):
    stream = find_residual_stream(loaded(Decoder(norm="layer"), tmp_path).graph_model.graph)
    assert (stream.width, stream.norms, stream.keeps_ones) == (24, 3, True)
    # Table, query, key, value, projection, gate, up, down, head.
    assert len(stream.turns) == 9
    assert len(stream.offsets) == 6


@pytest.mark.parametrize("text", ["int8:rotate+rtn,rotation=orthogonal", "int8:rtn+rotate"])
def test_on_the_command_line(tmp_path, text):
    done = compress(loaded(Decoder(), tmp_path), Compression((text,)))
    assert done.error < 0.05
    assert "residual stream of 24 channels rotated" in done.details[0].record.notes[0]


def test_unknown_rotation_is_one_line(tmp_path):
    with pytest.raises(InputError, match="rotation=givens: unknown; expected one of hadamard"):
        compress(loaded(Decoder(), tmp_path), Compression(("int8:rtn+rotate,rotation=givens",)))
