"""Reading printed words: rendered, blurred, noisy; the answer has to be exact."""

import hashlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from egrl.bench.int4.scores import Scores, accuracy_scores, kept
from graph_ir.errors import InputError

Feeds = dict[str, NDArray[np.generic]]

COUNT = 200
CALIBRATION_SEED = 1
JUDGED_SEED = 0
HEIGHT, WIDTH = 48, 320
DIMS = {"p2o.DynamicDimension.0": 1, "x:2": HEIGHT, "p2o.DynamicDimension.1": WIDTH}
NOISE = 40.0


def words(folder: Path, count: int, seed: int) -> list[str]:
    """Words of 4 to 11 letters out of the editorials, as they are written there."""
    path = folder / "sentiment" / "editorials.txt"
    if not path.exists():
        raise InputError(f"{path}: no such file; run scripts/models sentiment first")
    known = sorted(set(re.findall(r"\b[A-Za-z]{4,11}\b", path.read_text("utf-8"))))
    rng = np.random.default_rng(seed)
    return [known[i] for i in rng.choice(len(known), count, replace=False)]


def render(word: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """A picture `[1, 3, 48, 320]` of a word: size, place, contrast, blur and noise are drawn."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    font = ImageFont.load_default(size=float(rng.uniform(26, 34)))
    canvas = Image.new("L", (WIDTH, HEIGHT), 255)
    ink = int(rng.integers(0, 110))
    place = (float(rng.uniform(2, 12)), float(rng.uniform(0, 8)))
    ImageDraw.Draw(canvas).text(place, word, fill=ink, font=font)
    turned = canvas.rotate(float(rng.uniform(-2, 2)), fillcolor=255)
    blurred = turned.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.2))))
    noisy = np.asarray(blurred, np.float32) + rng.normal(0, NOISE, (HEIGHT, WIDTH))
    scaled = (np.clip(noisy, 0, 255).astype(np.float32) - 127.5) / 127.5
    return np.ascontiguousarray(np.broadcast_to(scaled, (1, 3, HEIGHT, WIDTH)))


def samples(folder: Path, count: int, seed: int) -> tuple[list[str], list[Feeds]]:
    """Words and their pictures."""
    chosen = words(folder, count, seed)
    rng = np.random.default_rng(seed)
    return chosen, [{"x": render(word, rng)} for word in chosen]


def calibration(folder: Path, count: int) -> list[Feeds]:
    """Pictures of other words."""
    judged = set(words(folder, COUNT, JUDGED_SEED))
    chosen, feeds = samples(folder, 2 * count, CALIBRATION_SEED)
    other = [sample for word, sample in zip(chosen, feeds, strict=True) if word not in judged]
    return other[:count]


@cache
def _characters(model: Path) -> tuple[str, ...]:
    """What each output stands for: nothing, the characters of the model's list, a space."""
    props = onnx.load(model, load_external_data=False).metadata_props
    listed = next(p.value for p in props if p.key == "character")
    return ("", *listed.split("\n"), " ")


def read(chances_TC: NDArray[np.float32], characters: tuple[str, ...]) -> str:
    """The most likely character of each column, repeats and blanks left out."""
    best_T = chances_TC.argmax(-1)
    changed_T = np.concatenate([[True], best_T[1:] != best_T[:-1]])
    return "".join(characters[i] for i in best_T[changed_T] if i < len(characters))


def judge(folder: Path, session: ort.InferenceSession, reference: ort.InferenceSession) -> Scores:
    """Share of words that are read exactly, and agreement with the uncompressed model."""
    characters = _characters(folder / "ppocr-rec.onnx")
    chosen, feeds = samples(folder, COUNT, JUDGED_SEED)

    def answers(each: ort.InferenceSession) -> NDArray[np.str_]:
        return np.array([read(each.run(None, sample)[0][0], characters) for sample in feeds])

    digest = hashlib.sha256(b"".join(sample["x"].tobytes() for sample in feeds)).hexdigest()[:16]
    said = answers(session)
    expected = kept(folder / "int4" / f"words.{digest}.npy", lambda: answers(reference))
    truth = np.array(chosen)
    scores = accuracy_scores(said == truth, expected == truth, said == expected)
    return Scores(scores.metrics, scores.intervals, digest)
