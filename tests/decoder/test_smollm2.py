"""SmolLM2 in the forms that `scripts/models` builds, where EGRL_CACHE names their folder."""

import os
from pathlib import Path

import numpy as np
import pytest

from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.decoder.decoder import LOGITS, POSITIONS, TOKENS
from graph_ir.decoder.read import read_decoder
from tests.decoder.stepping import step_by_step

CACHE = Path(os.environ.get("EGRL_CACHE", "absent"))
TOKENS_DECODED = 200

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("name", ["smollm2", "smollm2-decode", "smollm2-prefill"])
def test_200_decoded_tokens_of_the_source_equal_the_normal_form(name):
    path = CACHE / f"{name}.onnx"
    if not path.exists():
        pytest.skip("EGRL_CACHE names no folder with SmolLM2")
    decoder = read_decoder(path, OnnxRuntimeRunner())
    assert len(decoder.layers) == 30
    assert {(a.query_heads, a.kv_heads, a.head_width) for a in decoder.layers} == {(9, 3, 64)}
    assert {a.scale for a in decoder.layers} == {0.125}
    tokens = np.random.default_rng(5).integers(0, 49152, TOKENS_DECODED)
    expected = step_by_step(path, tokens)
    execute = OnnxRuntimeRunner().open(decoder.model, [LOGITS])
    feeds = {TOKENS: tokens[None], POSITIONS: np.arange(TOKENS_DECODED)}
    got = execute(feeds)[LOGITS][0]
    assert np.abs(got - expected).max() <= 1e-4 * np.ptp(expected)
