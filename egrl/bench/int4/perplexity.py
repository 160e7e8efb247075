"""Perplexity of a language model, and how far its predictions are from the uncompressed model's.

For quick looks: `python -m egrl.bench.int4.perplexity MODEL_OR_ARTIFACT`.

Shape suffixes: W windows, S positions, V vocabulary.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from egrl.bench.int4.compressing import compress_file, write_calibration
from egrl.bench.int4.texts import JUDGED, NAMES, Ids, digest, windows
from egrl.bench.model_index import models_folder
from graph_ir.errors import EgrlError
from runtime.execute import open_graph
from runtime.load import load_artifact
from runtime.manifest import Execution
from runtime.session import make_session

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

MODEL = "smollm2-prefill"
WINDOWS = 8
LENGTH = 512
FUSED = Execution(accuracy_level=4)
"""As artifacts with int4 weights are executed."""


@dataclass(frozen=True, slots=True)
class TextScore:
    """A model on a text.

    Attributes:
        perplexity: exponential of the mean negative log-likelihood of the next token.
        divergence: mean over positions of KL(reference || model), in nats; NaN without one.
        changed: share of positions whose most likely token is another; NaN without one.
        predicted: tokens that were predicted.
        losses: mean negative log-likelihood of each window, in nats.
    """

    perplexity: float
    divergence: float
    changed: float
    predicted: int
    losses: tuple[float, ...]


def open_model(path: Path, threads: int = 1) -> ort.InferenceSession:
    """A session of an ONNX file, or of an artifact's graph `main`.

    Raises:
        InputError: there is none, or onnxruntime refuses it.
    """
    if path.is_dir() and not (path / "model.onnx").exists():
        return open_graph(load_artifact(path), threads=threads)
    return make_session(path / "model.onnx" if path.is_dir() else path, FUSED, threads)


def logits_of(session: ort.InferenceSession, window_S: Ids) -> F32:
    """Logits `[S, V]` of one window."""
    (logits_1SV,) = session.run(["logits"], {"input_ids": window_S[None]})
    logits_SV: F32 = logits_1SV[0]
    return logits_SV


def log_probabilities(logits_SV: F32) -> F32:
    """Log-softmax over the vocabulary, the sum of exponentials in float64."""
    shifted_SV = logits_SV - logits_SV.max(axis=-1, keepdims=True)
    total_S1 = np.exp(shifted_SV).sum(axis=-1, keepdims=True, dtype=np.float64)
    result: F32 = shifted_SV - np.log(total_S1).astype(np.float32)
    return result


def reference_logits(folder: Path, windows_WS: Ids, threads: int = 1) -> F32:
    """The uncompressed model's logits `[W, S, V]`, memory-mapped; made at the first call.

    Args:
        folder: of the built models; the logits are kept in its folder `int4`.
        windows_WS: of a text.
        threads: of onnxruntime.
    """
    path = folder / "int4" / f"logits.{digest(windows_WS)}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        session = make_session(folder / f"{MODEL}.onnx", Execution(), threads)
        partial = path.with_name(f".{path.stem}.{os.getpid()}.npy")
        first_SV = logits_of(session, windows_WS[0])
        shape = (len(windows_WS), *first_SV.shape)
        written = np.lib.format.open_memmap(partial, "w+", first_SV.dtype, shape)
        written[0] = first_SV
        for at in range(1, len(windows_WS)):
            written[at] = logits_of(session, windows_WS[at])
        written.flush()
        partial.replace(path)
    mapped: F32 = np.load(path, mmap_mode="r")
    return mapped


def score(
    session: ort.InferenceSession, windows_WS: Ids, reference_WSV: F32 | None = None
) -> TextScore:
    """Run a model over the windows of a text, each from position 0.

    The last position of a window predicts nothing: the next window starts anew.

    Args:
        session: with an input `input_ids` and an output `logits`.
        windows_WS: of the text.
        reference_WSV: logits of the uncompressed model.
    """
    divergence, changed, predicted = 0.0, 0, 0
    losses: list[float] = []
    for at, window_S in enumerate(windows_WS):
        logits_SV = logits_of(session, window_S)[:-1]
        log_SV = log_probabilities(logits_SV)
        rows = np.arange(len(log_SV))
        losses.append(-float(log_SV[rows, window_S[1:]].mean(dtype=np.float64)))
        predicted += len(rows)
        if reference_WSV is not None:
            exact_SV = reference_WSV[at][:-1]
            exact_log_SV = log_probabilities(exact_SV)
            gap_SV = np.exp(exact_log_SV) * (exact_log_SV - log_SV)
            divergence += float(gap_SV.sum(dtype=np.float64))
            changed += int((exact_SV.argmax(-1) != logits_SV.argmax(-1)).sum())
    # All windows are of one length, so the mean of their means is the mean over tokens.
    perplexity = math.exp(sum(losses) / len(losses))
    if reference_WSV is None:
        return TextScore(perplexity, math.nan, math.nan, predicted, tuple(losses))
    share = changed / predicted
    return TextScore(perplexity, divergence / predicted, share, predicted, tuple(losses))


def main(arguments: Sequence[str]) -> int:
    """Print the scores of a model on texts."""
    parser = argparse.ArgumentParser(prog="python -m egrl.bench.int4.perplexity")
    parser.add_argument("model", type=Path, help="ONNX file or artifact")
    parser.add_argument("--windows", type=int, default=WINDOWS, metavar="N")
    parser.add_argument("--length", type=int, default=LENGTH, metavar="N")
    parser.add_argument("--text", action="append", default=[], choices=NAMES)
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--folder", type=Path, default=None, help="default: EGRL_CACHE")
    parser.add_argument("--compress", action="append", default=[], help="first, as egrl compile")
    parser.add_argument("--calibration-windows", type=int, default=0, metavar="N")
    options = parser.parse_args(arguments)
    folder = models_folder() if options.folder is None else options.folder
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model
        if options.compress:
            samples = None
            if options.calibration_windows:
                samples = Path(scratch) / "calibration"
                chosen = windows("calibration", folder, options.calibration_windows, options.length)
                write_calibration(samples, [{"input_ids": ids_S[None]} for ids_S in chosen])
            began = time.perf_counter()
            dims = {"seq": options.length}
            model = compress_file(
                model, dims, options.compress, samples, Path(scratch) / "model"
            ).path
            print(f"compressed in {time.perf_counter() - began:.1f} s", flush=True)
        session = open_model(model, options.threads)
        for text in options.text or JUDGED:
            chosen = windows(text, folder, options.windows, options.length)
            found = score(session, chosen, reference_logits(folder, chosen, options.threads))
            print(
                f"{text}: perplexity {found.perplexity:.4f}, divergence {found.divergence:.5f}, "
                f"changed top-1 {100 * found.changed:.2f} %, {found.predicted} tokens",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EgrlError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
