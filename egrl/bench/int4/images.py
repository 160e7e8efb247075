"""An image classifier on photographs and crops of them.

There are no labelled photographs of its classes, so what counts is how often it answers as the
uncompressed model does, and how far its logits are from that one's.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from egrl.bench.int4.scores import Scores, kept
from graph_ir.errors import InputError

Feeds = dict[str, NDArray[np.generic]]

# Crops to calibrate on are of other photographs than those that are judged on.
CALIBRATED = ("astronaut.png", "motorcycle_right.png", "clock_motion.png", "gravel.png")
JUDGED = (
    "coffee.png", "chelsea.png", "motorcycle_left.png", "camera.png", "coins.png", "brick.png",
    "grass.png", "horse.png", "moon.png", "rocket.jpg", "hubble_deep_field.jpg", "ihc.png",
)  # fmt: skip
CROPS = 20
SIDE = 224
CALIBRATION_SEED = 1
JUDGED_SEED = 0


def crops(folder: Path, names: tuple[str, ...], count: int, seed: int) -> list[Feeds]:
    """Seeded square crops of at least half the short side, some mirrored; the first is the centre.

    Raises:
        InputError: a photograph is not there.
    """
    from PIL import Image

    rng = np.random.default_rng(seed)
    found: list[Feeds] = []
    for name in names:
        path = folder / "photos" / name
        if not path.exists():
            raise InputError(f"{path}: no such file; run scripts/models photos first")
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        short = min(picture.size)
        for at in range(count):
            side = short if at == 0 else int(rng.integers(short // 2, short + 1))
            spare = [extent - side for extent in picture.size]
            left, top = (s // 2 if at == 0 else int(rng.integers(s + 1)) for s in spare)
            crop = picture.crop((left, top, left + side, top + side))
            pixels = np.asarray(crop.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
            if at and rng.integers(2):
                pixels = pixels[:, ::-1]
            image = ((pixels - 127.0) / 128.0).transpose(2, 0, 1)[None]
            found.append({"image": np.ascontiguousarray(image)})
    return found


def calibration(folder: Path, count: int) -> list[Feeds]:
    """Crops of photographs that are not judged on."""
    each = -(-count // len(CALIBRATED))
    return crops(folder, CALIBRATED, each, CALIBRATION_SEED)[:count]


def judge(folder: Path, session: ort.InferenceSession, reference: ort.InferenceSession) -> Scores:
    """Agreement of the most likely class, relative error of the logits."""
    samples = crops(folder, JUDGED, CROPS, JUDGED_SEED)

    def logits(each: ort.InferenceSession) -> NDArray[np.float32]:
        return np.concatenate([each.run(["logits"], sample)[0] for sample in samples])

    digest = hashlib.sha256(b"".join(s["image"].tobytes() for s in samples)).hexdigest()[:16]
    kept_in = folder / "int4" / f"images.{digest}.npy"
    expected_BC = kept(kept_in, lambda: logits(reference)).astype(np.float64)
    got_BC = logits(session).astype(np.float64)
    same = float((expected_BC.argmax(-1) == got_BC.argmax(-1)).mean())
    error = float(np.linalg.norm(expected_BC - got_BC) / np.linalg.norm(expected_BC))
    return Scores({"agreement": same, "error": error}, {}, digest)
