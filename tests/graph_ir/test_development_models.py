"""Real models, where the folder that EGRL_CACHE names holds them (`scripts/models` makes it)."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.passes.pipeline import run_lossless
from tests.graph_ir.numerics import (
    TOLERANCES,
    assert_close,
    assert_valid,
    largest_error,
    open_session,
    outputs_of,
    seeded_inputs,
)

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
from model_set.inputs import DIMS, sample_inputs

CACHE = Path(os.environ.get("EGRL_CACHE", "absent"))
REFUSED = {"silero-vad-if"}
PRESENT = [name for name in DIMS if (CACHE / f"{name}.onnx").exists()]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PRESENT, reason="EGRL_CACHE names no folder with models"),
]


def inputs_of(name: str, path: Path):
    """Real inputs where their files are there, seeded ones otherwise."""
    try:
        return sample_inputs(name, path, seed=0)
    except InputError:
        return seeded_inputs(open_session(path, DIMS[name]), DIMS[name])


@pytest.mark.parametrize("name", [name for name in PRESENT if name not in REFUSED])
def test_lossless(name: str, tmp_path: Path) -> None:
    path = CACHE / f"{name}.onnx"
    model = load_model(path, DIMS[name])
    run_lossless(model.graph_model)
    feeds = inputs_of(name, path)
    saved = assert_valid(model.graph_model, tmp_path)
    optimized = outputs_of(open_session(path, DIMS[name], optimize=True), feeds)
    assert_close(outputs_of(open_session(saved, optimize=True), feeds), optimized)
    # As written, the source itself may be ill conditioned: onnxruntime's own optimization moves
    # the outputs of ppocr-det by 9e-5. No pass may do more than that.
    plain = outputs_of(open_session(path, DIMS[name]), feeds)
    allowed = max(TOLERANCES["float32"], largest_error(optimized, plain))
    assert_close(outputs_of(open_session(saved), feeds), plain, {"float32": allowed})


@pytest.mark.skipif("silero-vad-if" not in PRESENT, reason="not built")
def test_nested_control_flow_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(If\): control flow that depends on data"):
        load_model(CACHE / "silero-vad-if.onnx", DIMS["silero-vad-if"])


@pytest.mark.skipif("resnet50" not in PRESENT, reason="not built")
def test_resnet50_is_nothing_but_convolutions(tmp_path: Path) -> None:
    model = load_model(CACHE / "resnet50.onnx")
    run_lossless(model.graph_model)
    counts = Counter(node.op_type for node in model.graph_model.graph)
    assert counts["Conv"] == 53
    assert set(counts) == {"Conv", "Relu", "Add", "MaxPool", "GlobalAveragePool", "Flatten", "Gemm"}
