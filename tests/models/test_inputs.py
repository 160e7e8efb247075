"""Sample inputs on stand-ins for the models: same names and shapes, no content."""

import numpy as np
import pytest
from model_set.graph import Graph
from model_set.inputs import DIMS, input_shapes, sample_inputs
from model_set.texts import BERT_IDS, SMOLLM2_IDS
from onnx import TensorProto

from graph_ir.errors import InputError

INT64 = TensorProto.INT64


def stand_in(path, inputs):
    """A model that only declares inputs: name -> (type, shape)."""
    graph = Graph("stand-in", 17)
    for name, (kind, shape) in inputs.items():
        graph.add_input(name, shape, kind)
    first = next(iter(inputs))
    graph.node("Identity", [first], "identity", output="out")
    graph.add_output("out", inputs[first][1], inputs[first][0])
    graph.save(path)
    return path


@pytest.fixture
def minilm(tmp_path):
    names = ("input_ids", "attention_mask", "token_type_ids")
    return stand_in(tmp_path / "minilm.onnx", {n: (INT64, ["batch", "seq"]) for n in names})


@pytest.fixture
def decode(tmp_path):
    cache = (TensorProto.FLOAT, [1, 3, "context", 64])
    inputs = {"input_ids": (INT64, [1, 1]), "position_ids": (INT64, [1, 1])}
    inputs |= {f"past_key_values.0.{part}": cache for part in ("key", "value")}
    return stand_in(tmp_path / "smollm2-decode.onnx", inputs)


def test_first_sentence_fills_the_sequence(minilm):
    arrays = sample_inputs("minilm", minilm, 0)
    ids = arrays["input_ids"][0]
    assert ids.shape == (128,)
    assert ids[:6].tolist() == list(BERT_IDS[:6])
    assert ids[-1] == 102
    assert arrays["attention_mask"].all()


def test_other_seeds_pad_and_mask_what_they_pad(minilm):
    rows = [sample_inputs("minilm", minilm, seed) for seed in range(1, 6)]
    for arrays in rows:
        ids, mask = arrays["input_ids"][0], arrays["attention_mask"][0]
        used = int(mask.sum())
        assert mask[:used].all()
        assert ids[0] == 101
        assert ids[used - 1] == 102
        assert not ids[used:].any()
    assert len({arrays["attention_mask"].sum() for arrays in rows}) > 1


def test_same_seed_gives_the_same_arrays(decode):
    first, again, other = (sample_inputs("smollm2-decode", decode, seed) for seed in (4, 4, 5))
    assert list(first) == list(again)
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


def test_decode_is_placed_inside_the_context(decode):
    for seed in range(5):
        arrays = sample_inputs("smollm2-decode", decode, seed)
        assert 0 <= arrays["position_ids"][0, 0] < DIMS["smollm2-decode"]["context"]
        assert arrays["past_key_values.0.key"].shape == (1, 3, 1024, 64)
        assert arrays["past_key_values.0.key"].dtype == np.float32


def test_unnamed_dimensions_are_called_by_input_and_axis(tmp_path):
    path = stand_in(tmp_path / "m.onnx", {"x": (TensorProto.FLOAT, ["?", 3, "?", "w"])})
    assert input_shapes(path, {"x:0": 1, "x:2": 48, "w": 9}) == {"x": (1, 3, 48, 9)}
    with pytest.raises(InputError, match="dimension x:2"):
        input_shapes(path, {"x:0": 1, "w": 9})


def test_unknown_model_and_missing_photographs_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="got bert-large"):
        sample_inputs("bert-large", tmp_path / "bert-large.onnx", 0)
    path = tmp_path / "resnet50.onnx"
    stand_in(path, {"image": (TensorProto.FLOAT, [1, 3, 224, 224])})
    with pytest.raises(InputError, match="scripts/models photos"):
        sample_inputs("resnet50", path, 0)


def test_model_with_other_inputs_is_refused(tmp_path):
    path = stand_in(tmp_path / "minilm.onnx", {"input_ids": (INT64, [1, 128])})
    with pytest.raises(InputError, match="expected inputs"):
        sample_inputs("minilm", path, 0)


def test_texts_are_whole():
    assert BERT_IDS[0] == 101
    assert BERT_IDS[-1] == 102
    assert max(BERT_IDS) < 30522
    assert len(SMOLLM2_IDS) > 128
    assert max(SMOLLM2_IDS) < 49152
