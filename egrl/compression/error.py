"""How far a compressed model's outputs are from its source's, on the same inputs."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from egrl.compression.inputs import Array, Feeds
from graph_ir.save import save_model
from runtime.manifest import Execution
from runtime.session import make_session, run_session

Outputs = dict[str, Array]


def run_samples(
    model: ir.Model, samples: Sequence[Feeds], execution: Execution
) -> tuple[Outputs, ...]:
    """The outputs of a model, executed as its artifact will be."""
    with tempfile.TemporaryDirectory() as scratch:
        save_model(model, Path(scratch), "model")
        session = make_session(Path(scratch) / "model.onnx", execution)
        return tuple(run_session(session, sample) for sample in samples)


def relative_error(expected: Iterable[Outputs], got: Iterable[Outputs]) -> float:
    """Root mean square of the difference over that of the expected outputs, all of them together.

    Integer outputs count by the share of elements that changed, as an output of their own.
    """
    difference = scale = 0.0
    for reference, outputs in zip(expected, got, strict=True):
        for name, array in reference.items():
            a, b = array.astype(np.float64), outputs[name].astype(np.float64)
            difference += float(np.square(a - b).sum())
            scale += float(np.square(a).sum())
    return float(np.sqrt(difference / scale)) if scale > 0 else float(np.sqrt(difference))
