"""Whole models in torch against onnxruntime; real ones where EGRL_CACHE names their folder."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from egrl.compression.error import run_samples
from egrl.compression.inputs import draw_inputs
from egrl.differentiable.graph import TorchGraph
from egrl.differentiable.types import as_tensor
from graph_ir.load import load_model
from graph_ir.passes.pipeline import run_lossless
from runtime.manifest import Execution
from tests.differentiable.encoder import encoder_model

CACHE = Path(os.environ.get("EGRL_CACHE", "absent"))
REAL = {
    "minilm": {"batch": 1, "seq": 16},
    "bert-base": {},
    "smollm2-prefill": {"seq": 16},
    "magika": {"unk__214": 1},
}
PRESENT = [name for name in REAL if (CACHE / f"{name}.onnx").exists()]


def largest_difference(path: Path, dims: dict[str, int]) -> float:
    """Of any output, as a share of its range."""
    model = load_model(path, dims).graph_model
    run_lossless(model)
    (feeds,) = draw_inputs(model.graph, 0, 1).samples
    (expected,) = run_samples(model, [feeds], Execution(optimization_level="basic"))
    given = {value: as_tensor(feeds[value.name]) for value in model.graph.inputs}
    with torch.no_grad():
        got = TorchGraph(model.graph).run(given, list(model.graph.outputs))
    return max(
        float(np.abs(tensor.numpy() - expected[value.name]).max() / np.ptp(expected[value.name]))
        for value, tensor in zip(model.graph.outputs, got, strict=True)
    )


@pytest.mark.parametrize("fused", [False, True])
def test_small_encoder(tmp_path, fused):
    encoder_model(tmp_path / "m.onnx", fused=fused)
    assert largest_difference(tmp_path / "m.onnx", {}) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESENT)
def test_real(name):
    assert largest_difference(CACHE / f"{name}.onnx", REAL[name]) < 1e-5
