"""The development models, executed op by op (where EGRL_CACHE holds them)."""

import os
import sys
from pathlib import Path

import pytest

from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from graph_ir.save import save_model
from tests.graph_ir.lowering_support import check_workload, relative_error, run_op_by_op
from tests.graph_ir.numerics import open_session, outputs_of

CACHE = os.environ.get("EGRL_CACHE")
CACHED = sorted(Path(CACHE).glob("*.onnx")) if CACHE else []
SCRIPTS = str(Path(__file__).parents[2] / "scripts")


@pytest.mark.slow
@pytest.mark.skipif(not CACHED, reason="EGRL_CACHE names no folder with models")
@pytest.mark.parametrize("path", CACHED, ids=[path.stem for path in CACHED])
def test_ops_reproduce_the_model(path: Path, tmp_path: Path) -> None:
    if path.stem == "silero-vad-if":
        pytest.skip("has control flow")
    if SCRIPTS not in sys.path:
        sys.path.append(SCRIPTS)
    from model_set.inputs import DIMS, sample_inputs

    feeds = sample_inputs(path.stem, path, 0)
    model = load_model(path, DIMS[path.stem])
    run_lossless(model.graph_model)
    save_model(model.graph_model, tmp_path, "lossless")
    whole = tmp_path / "lossless.onnx"
    expected = outputs_of(open_session(whole), feeds)
    optimized = outputs_of(open_session(whole, optimize=True), feeds)
    lowered = lower(model)
    check_workload(lowered)
    got = run_op_by_op(model.graph_model, lowered, feeds)
    assert list(got) == list(expected)
    for name, reference in expected.items():
        # onnxruntime packs weights that are no inputs, and so adds in another order; how much
        # that matters for a model shows in what its own optimizations change.
        noise = relative_error(optimized[name], reference)
        assert relative_error(got[name], reference) <= max(1e-5, 2 * noise), name
