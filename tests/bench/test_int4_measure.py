import json
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from egrl.bench.int4.byte_pairs import read_byte_pairs
from egrl.bench.int4.compressing import compress_file
from egrl.bench.int4.peer_onnxruntime import compress_peer
from egrl.bench.int4.perplexity import log_probabilities, score
from egrl.bench.int4.plain import plain_file
from egrl.bench.int4.process import ProcessFailedError, run_measured
from egrl.bench.int4.scores import accuracy_scores, paired_interval
from egrl.bench.int4.sentiment import fit
from egrl.bench.int4.speed import bound_run, interleaved
from egrl.bench.int4.speed_cases import write_product
from egrl.bench.int4.stored_bits import stored_bits
from egrl.bench.int4.texts import MODULES, TEXTS, windows
from egrl.bench.int4.word_pieces import WordPieces
from graph_ir.errors import InputError
from runtime.manifest import Execution
from runtime.session import make_session


@pytest.fixture
def tokenizer(tmp_path):
    characters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list("0123456789Ġ.'_")
    merges = ["t h", "th e", "Ġ the", "i n"]
    tokens = [*characters, "th", "the", "Ġthe", "in"]
    model = {"vocab": {token: at for at, token in enumerate(tokens)}, "merges": merges}
    path = tmp_path / "smollm2.tokenizer.json"
    path.write_text(json.dumps({"model": model}), "utf-8")
    return read_byte_pairs(path), dict(enumerate(tokens))


def _pieces(tokenizer, text, limit=None):
    pairs, names = tokenizer
    return [names[index] for index in pairs.encode(text, limit)]


def test_byte_pairs_merge_lowest_rank_first_and_split_digits(tokenizer):
    assert _pieces(tokenizer, "the thin in12") == [
        "the", "Ġ", "th", "in", "Ġ", "in", "1", "2",
    ]  # fmt: skip
    assert _pieces(tokenizer, "in the") == ["in", "Ġthe"]


def test_byte_pairs_stop_once_there_are_enough(tokenizer):
    assert _pieces(tokenizer, "in in in in", limit=3) == ["in", "Ġ", "in"]


def test_a_folder_without_tokenizer_names_what_builds_it(tmp_path):
    with pytest.raises(InputError, match="scripts/models smollm2-tokenizer"):
        windows("topics", tmp_path, 1, 8)


def test_judged_texts_are_not_calibrated_on():
    assert not [module for module in MODULES if module.startswith("pydoc")]
    assert set(TEXTS) == {"topics", "editorials", "docstrings", "reviews"}


def test_word_pieces_take_the_longest_and_pad():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "##ly", "un", "##good", ",", "e"]
    vocabulary = WordPieces({piece: at for at, piece in enumerate(pieces)})
    feeds = vocabulary.encode("Goodly, UNGOOD É xyz", 10)
    assert feeds["input_ids"].tolist() == [[2, 4, 5, 8, 6, 7, 9, 1, 3, 0]]
    assert feeds["attention_mask"].tolist() == [[1] * 9 + [0]]


class _Fixed:
    """A session with the same logits for every window."""

    def __init__(self, logits_SV):
        self.logits_SV = logits_SV

    def run(self, outputs, feeds):
        return [self.logits_SV[None].astype(np.float32)]


def test_perplexity_of_a_model_that_knows_nothing_is_the_vocabulary():
    windows_WS = np.arange(12).reshape(2, 6) % 7
    found = score(_Fixed(np.zeros((6, 7))), windows_WS)
    assert found.perplexity == pytest.approx(7.0)
    assert found.predicted == 10


def test_divergence_against_itself_is_zero_and_against_others_the_formula():
    rng = np.random.default_rng(0)
    exact, other = rng.standard_normal((2, 6, 7)).astype(np.float32)
    windows_WS = rng.integers(0, 7, (1, 6))
    same = score(_Fixed(exact), windows_WS, exact[None])
    assert (same.divergence, same.changed) == (pytest.approx(0.0, abs=1e-7), 0.0)
    found = score(_Fixed(other), windows_WS, exact[None])
    p = np.exp(exact.astype("f8"))[:-1]
    q = np.exp(other.astype("f8"))[:-1]
    p, q = (x / x.sum(-1, keepdims=True) for x in (p, q))
    assert found.divergence == pytest.approx((p * np.log(p / q)).sum(-1).mean(), rel=1e-5)
    assert found.changed == (p.argmax(-1) != q.argmax(-1)).mean()


def test_log_probabilities_survive_large_logits():
    log = log_probabilities(np.array([[1000.0, 0.0], [-1000.0, -1000.0]], np.float32))
    assert np.exp(log).tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_memory_is_the_childs_own(tmp_path):
    big = "import time\nx = bytearray(b'1') * (150 << 20)\ntime.sleep(0.3)"
    large = run_measured([sys.executable, "-S", "-c", big])
    small = run_measured([sys.executable, "-S", "-c", "pass"])
    assert 150 << 20 <= large.peak_bytes < 200 << 20
    assert small.peak_bytes < 50 << 20
    assert large.seconds >= 0.3


def test_memory_of_a_grandchild_counts():
    inner = "import time; x = bytearray(b'1') * (100 << 20); time.sleep(1)"
    outer = (
        "import subprocess, sys, time\nx = bytearray(b'1') * (100 << 20)\n"
        f"subprocess.run([sys.executable, '-S', '-c', {inner!r}])"
    )
    assert run_measured([sys.executable, "-S", "-c", outer]).peak_bytes >= 195 << 20


def test_a_failing_process_says_its_last_line():
    with pytest.raises(ProcessFailedError, match="ValueError: no way"):
        run_measured([sys.executable, "-c", "raise ValueError('no way')"])


@pytest.fixture
def product(tmp_path):
    source = tmp_path / "source" / "model.onnx"
    source.parent.mkdir()
    return source, write_product(source, 64, 96, 4)


@pytest.mark.parametrize(("group", "bits"), [(32, 4.5), (64, 4.25)])
def test_bits_of_ours(product, tmp_path, group, bits):
    done = compress_file(product[0], {}, [f"int4:rtn,group={group}"], None, tmp_path / "out")
    found = stored_bits(done.path, product[0])
    assert (found.elements, found.per_weight) == (64 * 96, bits)


@pytest.mark.parametrize(
    ("tool", "bits"), [("ort-default", 5.0), ("ort-default-asymmetric", 5.125)]
)
def test_bits_of_a_peer_count_its_scales_as_stored(product, tmp_path, tool, bits):
    compress_peer(tool, product[0], tmp_path / "out", 4, 32)
    assert stored_bits(tmp_path / "out" / "model.onnx", product[0]).per_weight == bits


def test_bits_count_what_was_added(product, tmp_path):
    done = compress_file(product[0], {}, ["int4:rtn"], None, tmp_path / "out")
    model = onnx.load(done.path)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((64, 3), "f4"), "factor"))
    onnx.save(model, done.path)
    found = stored_bits(done.path, product[0])
    assert found.per_weight == 4.5 + 32 * 64 * 3 / (64 * 96)


def test_an_embedding_counts_as_the_weight_that_it_is(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"table": rng.standard_normal((2048, 64)), "w": rng.standard_normal((64, 96))}
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "i"], ["e"]),
            helper.make_node("MatMul", ["e", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("i", TensorProto.INT64, [5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 96])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    source = tmp_path / "source.onnx"
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), source)
    done = compress_file(source, {}, ["int4:rtn"], None, tmp_path / "out")
    found = stored_bits(done.path, source)
    assert (found.elements, found.per_weight) == (2048 * 64 + 64 * 96, 4.5)


def test_an_uncompressed_file_has_no_integers(product):
    assert stored_bits(product[0], product[0]).per_weight == 32.0


@pytest.mark.parametrize("transposed", [0, 1])
def test_plain_products_compute_the_same(tmp_path, transposed):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((8, 5) if transposed == 0 else (5, 8)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=transposed)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 5])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(weight[0, :5], "b")],
    )
    source = tmp_path / "source.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), source)
    plain = plain_file(source, {}, tmp_path / "plain")
    assert [n.op_type for n in onnx.load(plain).graph.node] == ["MatMul", "Add"]
    feeds = {"x": rng.standard_normal((3, 8)).astype(np.float32)}
    (expected,), (got,) = (
        make_session(path, Execution()).run(["y"], feeds) for path in (source, plain)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_ratios_are_of_the_same_round():
    def work(size):
        array = np.ones(size)
        return lambda: array.cumsum()

    timed = interleaved({"fp32": work(400_000), "fast": work(100_000)}, rounds=15)
    row = timed.rows("model")["speed: model: fast"]
    assert 1.5 < row.metrics["ratio"] < 12.0
    low, high = row.intervals["ratio"]
    assert low <= row.metrics["ratio"] <= high


def test_a_bound_run_updates_a_cache_in_place(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Add", ["past_key_values.0.key", "one"], ["present.0.key"])],
        "g",
        [helper.make_tensor_value_info("past_key_values.0.key", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("present.0.key", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(np.ones(4, "f4"), "one")],
    )
    path = tmp_path / "m.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    run = bound_run(path, Execution(), {"past_key_values.0.key": np.zeros(4, "f4")})
    run()
    run()
    assert run.__self__.values[0].numpy().tolist() == [2.0] * 4


def test_paired_interval_holds_the_difference():
    right = np.array([True] * 80 + [False] * 20)
    reference = np.array([True] * 85 + [False] * 15)
    low, high = paired_interval(right, reference)
    assert low < -0.05 < high <= 0.0
    assert paired_interval(right, right) == (0.0, 0.0)
    scores = accuracy_scores(right, reference, right == reference)
    assert scores.metrics == pytest.approx({"accuracy": 0.8, "change": -0.05, "agreement": 0.95})


def test_the_classifier_separates():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    points = rng.standard_normal((400, 3)) + 2.0 * labels[:, None]
    weight, bias = fit(points.astype(np.float32), labels)
    assert ((points @ weight + bias > 0) == labels).mean() > 0.9
