"""Telling kinds of files apart, on files of this Python installation, judged by their endings."""

import hashlib
import sysconfig
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from egrl.bench.int4.scores import Scores, accuracy_scores, kept
from graph_ir.errors import InputError

Feeds = dict[str, NDArray[np.generic]]

DIMS = {"unk__214": 1}
EACH = 40
HALF = 1024
BLOCK = 4096
PADDING = 256
LEAST_BYTES = 64
CALIBRATION_SEED = 1
JUDGED_SEED = 0

# Ending -> what the model may call such a file.
ENDINGS: dict[str, tuple[str, ...]] = {
    ".py": ("python",), ".pyi": ("python",), ".pyc": ("pythonbytecode",), ".so": ("elf",),
    ".h": ("c", "cpp"), ".hpp": ("cpp", "c"), ".c": ("c",), ".cpp": ("cpp",), ".json": ("json",),
    ".toml": ("toml",), ".md": ("markdown",), ".rst": ("rst",), ".txt": ("txt",),
    ".csv": ("csv",), ".png": ("png",), ".svg": ("svg",), ".css": ("css",),
    ".js": ("javascript",), ".html": ("html",), ".xml": ("xml",), ".sh": ("shell",),
    ".yaml": ("yaml",), ".yml": ("yaml",), ".ttf": ("ttf",), ".npz": ("npz", "zip"),
    ".pdf": ("pdf",), ".exe": ("pebin",), ".bat": ("batch",), ".gif": ("gif",),
}  # fmt: skip


@cache
def _files() -> dict[str, tuple[Path, ...]]:
    """Files of the standard library and of the installed packages by ending, in order."""
    found: dict[str, list[Path]] = {ending: [] for ending in ENDINGS}
    for root in dict.fromkeys(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")):
        for path in sorted(root.rglob("*")):
            known = path.suffix in found and not path.is_symlink() and path.is_file()
            if known and path.stat().st_size >= LEAST_BYTES:
                found[path.suffix].append(path)
    return {ending: tuple(paths) for ending, paths in found.items()}


def chosen(seed: int) -> list[Path]:
    """Up to `EACH` files of each ending, without repetition; seeds share no file."""
    picked: list[Path] = []
    for paths in _files().values():
        order = np.random.default_rng(JUDGED_SEED).permutation(len(paths))
        mine = order[::2] if seed == JUDGED_SEED else order[1::2]
        picked += [paths[i] for i in mine[:EACH]]
    return picked


def features(content: bytes) -> Feeds:
    """First and last bytes as the model takes them: stripped, padded where the file is short."""
    first = content[:BLOCK].lstrip()[:HALF]
    last = content[-BLOCK:].rstrip()[-HALF:]
    array = np.full((1, 2 * HALF), PADDING, np.int32)
    array[0, : len(first)] = list(first)
    if last:
        array[0, 2 * HALF - len(last) :] = list(last)
    return {"bytes": array}


def calibration(folder: Path, count: int) -> list[Feeds]:
    """Files that are not judged on."""
    paths = chosen(CALIBRATION_SEED)
    picks = np.random.default_rng(CALIBRATION_SEED).permutation(len(paths))[:count]
    return [features(paths[i].read_bytes()) for i in picks]


def judge(folder: Path, session: ort.InferenceSession, reference: ort.InferenceSession) -> Scores:
    """Accuracy by ending, and agreement with the uncompressed model.

    Raises:
        InputError: the names of the kinds are not there.
    """
    path = folder / "magika.labels.txt"
    if not path.exists():
        raise InputError(f"{path}: no such file; run scripts/models magika-labels first")
    labels = path.read_text("utf-8").splitlines()
    paths = chosen(JUDGED_SEED)
    contents = [path.read_bytes() for path in paths]
    feeds = [features(content) for content in contents]

    def answers(each: ort.InferenceSession) -> NDArray[np.int64]:
        return np.array([int(each.run(None, sample)[0].argmax()) for sample in feeds])

    hashes = b"".join(hashlib.sha256(content).digest() for content in contents)
    digest = hashlib.sha256(hashes).hexdigest()[:16]
    said = answers(session)
    expected = kept(folder / "int4" / f"kinds.{digest}.npy", lambda: answers(reference))
    right, right_reference = (
        np.array([labels[at] in ENDINGS[p.suffix] for at, p in zip(found, paths, strict=True)])
        for found in (said.tolist(), expected.tolist())
    )
    scores = accuracy_scores(right, right_reference, said == expected)
    return Scores({**scores.metrics, "files": len(paths)}, scores.intervals, digest)
