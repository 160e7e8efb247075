"""A model through `--compress`, without a placement: what the quality rows are measured on."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from egrl.compression.compress import Compressed, Compression, compress
from egrl.compression.inputs import Feeds
from graph_ir.load import load_model
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import save_model


@dataclass(frozen=True, slots=True)
class CompressedFile:
    """What was written.

    Attributes:
        path: of the ONNX file; its weights are beside it.
        compressed: the record of it.
    """

    path: Path
    compressed: Compressed

    @property
    def size_bytes(self) -> int:
        """Of the model and its weights."""
        return folder_bytes(self.path.parent)


def compress_file(
    model: Path,
    dims: Mapping[str, int],
    texts: Sequence[str],
    calibration: Path | None,
    out: Path,
    seed: int = 0,
) -> CompressedFile:
    """Do to a model what `egrl compile --compress` does before it is placed.

    Args:
        model: ONNX file.
        dims: extents of symbolic dimensions.
        texts: of `--compress`, in order; none leaves the weights as they are.
        calibration: folder of `.npz` samples; none are given where None.
        out: folder to write `model.onnx` into, made where missing.
        seed: of what is drawn.

    Raises:
        InputError: the model, a flag or a sample is wrong.
    """
    loaded = load_model(model, dims)
    run_lossless(loaded.graph_model)
    done = compress(loaded, Compression(texts=tuple(texts), calibration=calibration, seed=seed))
    out.mkdir(parents=True, exist_ok=True)
    save_model(loaded.graph_model, out, "model")
    return CompressedFile(out / "model.onnx", done)


def write_calibration(folder: Path, samples: Sequence[Feeds]) -> Path:
    """Write samples as `--calibration` takes them; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, sample in enumerate(samples):
        np.savez(folder / f"{at:04}.npz", **sample)  # type: ignore[arg-type]
    return folder


def folder_bytes(folder: Path) -> int:
    """Sum of the sizes of the files in a folder."""
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
