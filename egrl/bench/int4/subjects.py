"""The models that are compressed, what they are calibrated on, how they are judged."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from egrl.bench.int4 import images, kinds, perplexity, sentiment, words
from egrl.bench.int4.plain import plain_file
from egrl.bench.int4.scores import Scores
from egrl.bench.int4.texts import JUDGED, digest, windows
from graph_ir.load import load_model
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import save_model

Feeds = dict[str, NDArray[np.generic]]
Judge = Callable[[Path, ort.InferenceSession, ort.InferenceSession], Scores]

ROTATION_SEED = 2026
SEQUENCE = {"seq": perplexity.LENGTH}


@dataclass(frozen=True, slots=True)
class Subject:
    """One model with its task.

    Attributes:
        title: for the document.
        source: the uncompressed static file that every tool gets, made where it is missing.
        calibration: samples out of the folder of built models, as many as asked.
        samples: how many a calibrated method is given.
        judge: scores of a session beside the uncompressed one's.
        metric: the metric that methods are ranked by.
        falls: whether a lower value of it is better.
    """

    title: str
    source: Callable[[Path], Path]
    calibration: Callable[[Path, int], list[Feeds]]
    samples: int
    judge: Judge
    metric: str
    falls: bool = False


def _smollm2(folder: Path) -> Path:
    return plain_file(folder / f"{perplexity.MODEL}.onnx", SEQUENCE, folder / "int4" / "smollm2")


def _smollm2_rotated(folder: Path) -> Path:
    """The same function with weights that lie on no grid: the residual stream rotated."""
    from graph_ir.compression.rotate import rotate_model

    rotated = folder / "int4" / "smollm2-rotated-source"
    if not (rotated / "model.onnx").exists():
        loaded = load_model(folder / f"{perplexity.MODEL}.onnx", SEQUENCE)
        run_lossless(loaded.graph_model)
        rotate_model(loaded.graph_model, ROTATION_SEED, "orthogonal")
        rotated.mkdir(parents=True, exist_ok=True)
        save_model(loaded.graph_model, rotated, "model")
    return plain_file(rotated / "model.onnx", {}, folder / "int4" / "smollm2-rotated")


def _text_samples(folder: Path, count: int) -> list[Feeds]:
    chosen_WS = windows("calibration", folder, count, perplexity.LENGTH)
    return [{"input_ids": window_S[None]} for window_S in chosen_WS]


def _judge_text(
    folder: Path, session: ort.InferenceSession, reference: ort.InferenceSession
) -> Scores:
    """Perplexity, divergence and changed top-1 on both texts."""
    metrics: dict[str, float] = {}
    samples: dict[str, list[float]] = {}
    digests = []
    for text in JUDGED:
        chosen_WS = windows(text, folder, perplexity.WINDOWS, perplexity.LENGTH)
        exact_WSV = perplexity.reference_logits(folder, chosen_WS, threads=0)
        found = perplexity.score(session, chosen_WS, exact_WSV)
        metrics[f"{text} perplexity"] = found.perplexity
        metrics[f"{text} divergence"] = found.divergence
        metrics[f"{text} changed"] = found.changed
        samples[text] = [round(loss, 6) for loss in found.losses]
        digests.append(digest(chosen_WS))
    return Scores(metrics, {}, " ".join(digests), samples)


def _minilm(folder: Path) -> Path:
    return plain_file(sentiment.model(folder), sentiment.DIMS, folder / "int4" / "minilm")


def _efficientnet(folder: Path) -> Path:
    name = "efficientnet-lite0"
    return plain_file(folder / f"{name}.onnx", {}, folder / "int4" / name)


def _ppocr(folder: Path) -> Path:
    return plain_file(folder / "ppocr-rec.onnx", words.DIMS, folder / "int4" / "ppocr-rec")


def _magika(folder: Path) -> Path:
    return plain_file(folder / "magika.onnx", kinds.DIMS, folder / "int4" / "magika")


SUBJECTS: dict[str, Subject] = {
    "smollm2-rotated": Subject(
        "SmolLM2-135M, residual stream rotated",
        _smollm2_rotated,
        _text_samples,
        16,
        _judge_text,
        "topics perplexity",
        falls=True,
    ),
    "smollm2": Subject(
        "SmolLM2-135M as shipped",
        _smollm2,
        _text_samples,
        16,
        _judge_text,
        "topics perplexity",
        falls=True,
    ),
    "minilm": Subject(
        "MiniLM with a sentiment classifier",
        _minilm,
        sentiment.calibration,
        128,
        sentiment.judge,
        "accuracy",
    ),
    "efficientnet-lite0": Subject(
        "EfficientNet-Lite0", _efficientnet, images.calibration, 32, images.judge, "agreement"
    ),
    "ppocr-rec": Subject(
        "PP-OCRv4 recognition", _ppocr, words.calibration, 32, words.judge, "accuracy"
    ),
    "magika": Subject("magika", _magika, kinds.calibration, 64, kinds.judge, "accuracy"),
}
