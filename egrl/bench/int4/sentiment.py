"""Sentiment of movie reviews: the sentence encoder with a classifier in its graph.

The classifier is a logistic regression on the encoder's embeddings of the training half, written
behind the encoder as one Gemm. The split is by seed; snippets that their raters found neither good
nor bad are left out. Shape suffixes: B snippets, D width, C classes.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from egrl.bench.int4.scores import Bools, Scores, accuracy_scores, kept
from egrl.bench.int4.word_pieces import read_word_pieces
from graph_ir.errors import InputError
from runtime.manifest import Execution
from runtime.session import make_session

F32 = NDArray[np.float32]
Feeds = dict[str, NDArray[np.generic]]

LENGTH = 64
TEST = 2000
SPLIT_SEED = 0
PENALTY = 1.0
DIMS = {"batch": 1, "seq": LENGTH}


@dataclass(frozen=True, slots=True)
class Snippets:
    """Sentences with their label (1: good)."""

    texts: tuple[str, ...]
    labels_B: NDArray[np.int64]


def split(folder: Path) -> tuple[Snippets, Snippets]:
    """Training and test snippets.

    Raises:
        InputError: the sentences are not there.
    """
    path = folder / "sentiment" / "movies.txt"
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read; run scripts/models sentiment first") from error
    rated = [(float(line.split("\t")[1]), line.split("\t")[2]) for line in lines]
    clear = [(text, int(rating > 0)) for rating, text in rated if rating != 0]
    order = np.random.default_rng(SPLIT_SEED).permutation(len(clear))
    halves = (order[TEST:], order[:TEST])
    train, test = (
        Snippets(tuple(clear[i][0] for i in half), np.array([clear[i][1] for i in half]))
        for half in halves
    )
    return train, test


def inputs(folder: Path, snippets: Snippets) -> list[Feeds]:
    """The encoder's inputs of each snippet."""
    pieces = read_word_pieces(folder / "minilm.vocabulary.txt")
    return [dict(pieces.encode(text, LENGTH)) for text in snippets.texts]


def calibration(folder: Path, count: int) -> list[Feeds]:
    """Of training snippets."""
    train, _ = split(folder)
    return inputs(folder, Snippets(train.texts[:count], train.labels_B[:count]))


def model(folder: Path) -> Path:
    """The encoder with its classifier; made at the first call."""
    path = folder / "int4" / "minilm-sentiment.onnx"
    if not path.exists():
        train, _ = split(folder)
        source = folder / "minilm.onnx"
        if not source.exists():
            raise InputError(f"{source}: no such file; run scripts/models minilm first")
        session = make_session(source, Execution(intra_op_threads=0))
        embedded_BD = np.concatenate(
            [_run(session, feeds, "sentence_embedding") for feeds in inputs(folder, train)]
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        weight_D, bias = fit(embedded_BD, train.labels_B)
        onnx.save(with_classifier(onnx.load(source), weight_D, bias), path)
    return path


def fit(embedded_BD: F32, labels_B: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Weights and bias of a logistic regression with an L2 penalty, by Newton's method."""
    x_BD = np.concatenate([embedded_BD, np.ones((len(embedded_BD), 1))], axis=1)
    penalty_D = np.full(x_BD.shape[1], PENALTY)
    penalty_D[-1] = 0.0
    theta_D = np.zeros(x_BD.shape[1])
    for _ in range(20):
        chance_B = 1.0 / (1.0 + np.exp(-x_BD @ theta_D))
        gradient_D = x_BD.T @ (chance_B - labels_B) + penalty_D * theta_D
        hessian_DD = (x_BD.T * (chance_B * (1 - chance_B))) @ x_BD + np.diag(penalty_D)
        theta_D = theta_D - np.linalg.solve(hessian_DD, gradient_D)
    return theta_D[:-1], float(theta_D[-1])


def with_classifier(
    encoder: onnx.ModelProto, weight_D: NDArray[np.float64], bias: float
) -> onnx.ModelProto:
    """The encoder with logits of both classes beside its embedding."""
    weight_DC = np.stack([-weight_D / 2, weight_D / 2], axis=1).astype(np.float32)
    bias_C = np.array([-bias / 2, bias / 2], np.float32)
    graph = encoder.graph
    graph.initializer.append(numpy_helper.from_array(weight_DC, "classifier.weight"))
    graph.initializer.append(numpy_helper.from_array(bias_C, "classifier.bias"))
    names = ["sentence_embedding", "classifier.weight", "classifier.bias"]
    graph.node.append(helper.make_node("Gemm", names, ["logits"], "classifier"))
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]))
    return encoder


def judge(folder: Path, session: ort.InferenceSession, reference: ort.InferenceSession) -> Scores:
    """Accuracy on the test snippets, and the cosine of embeddings to the uncompressed model's.

    Args:
        folder: of the built models.
        session: the model.
        reference: the uncompressed one; its answers are kept in a file.
    """
    _, test = split(folder)
    feeds = inputs(folder, test)
    digest = hashlib.sha256(repr((test.texts, LENGTH, SPLIT_SEED)).encode()).hexdigest()[:16]
    path = folder / "int4" / f"sentiment.{digest}.npy"
    expected_BD = kept(path, lambda: _answers(reference, feeds)).astype(np.float32)
    got_BD = _answers(session, feeds)
    right, right_reference, same = _compared(got_BD, expected_BD, test.labels_B)
    scores = accuracy_scores(right, right_reference, same)
    cosine_B = (got_BD[:, 2:] * expected_BD[:, 2:]).sum(-1)
    norms_B = np.linalg.norm(got_BD[:, 2:], axis=-1) * np.linalg.norm(expected_BD[:, 2:], axis=-1)
    return Scores(
        {**scores.metrics, "cosine": float((cosine_B / norms_B).mean())}, scores.intervals, digest
    )


def _compared(
    got_BD: F32, expected_BD: F32, labels_B: NDArray[np.int64]
) -> tuple[Bools, Bools, Bools]:
    said_B, expected_B = got_BD[:, :2].argmax(-1), expected_BD[:, :2].argmax(-1)
    return said_B == labels_B, expected_B == labels_B, said_B == expected_B


def _answers(session: ort.InferenceSession, feeds: list[Feeds]) -> F32:
    """Logits, then embedding, of each snippet."""
    rows = [session.run(["logits", "sentence_embedding"], sample) for sample in feeds]
    return np.stack([np.concatenate([a[0], b[0]]) for a, b in rows]).astype(np.float32)


def _run(session: ort.InferenceSession, feeds: Feeds, output: str) -> F32:
    array: F32 = session.run([output], feeds)[0]
    return array
