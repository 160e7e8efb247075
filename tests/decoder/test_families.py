"""Every family: its source, token by token with its own caches, against the normal form."""

import numpy as np
import pytest

from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.decoder.decoder import LOGITS, POSITIONS, TOKENS
from graph_ir.decoder.read import read_decoder
from tests.decoder.families import FAMILIES, VOCABULARY
from tests.decoder.mixed_source import mixed_source
from tests.decoder.op_families import OPERATORS
from tests.decoder.stepping import step_by_step
from tests.decoder.tiny import alibi_slopes

DECODED = 220
SOURCES = FAMILIES | OPERATORS


def normal_logits(decoder, tokens):
    execute = OnnxRuntimeRunner().open(decoder.model, [LOGITS])
    return execute({TOKENS: tokens[None], POSITIONS: np.arange(len(tokens))})[LOGITS][0]


def assert_equal_logits(path, decoder, prompt=1):
    tokens = np.random.default_rng(11).integers(0, decoder.vocabulary, DECODED)
    expected = step_by_step(path, tokens, prompt=prompt)
    assert expected.std() > 0.1
    difference = np.abs(normal_logits(decoder, tokens) - expected).max()
    assert difference <= 1e-4 * np.ptp(expected)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Every family, read once: its file and its normal form."""
    folder = tmp_path_factory.mktemp("families")
    found = {}

    def read(family):
        if family not in found:
            path = SOURCES[family](seed=2).save(folder / f"{family}.onnx")
            found[family] = (path, read_decoder(path, OnnxRuntimeRunner()))
        return found[family]

    return read


@pytest.mark.parametrize("family", SOURCES)
def test_the_normal_form_equals_the_source(family, known):
    path, decoder = known(family)
    assert decoder.vocabulary == VOCABULARY
    assert [value.name for value in decoder.model.graph.inputs] == [TOKENS, POSITIONS]
    assert [value.name for value in decoder.model.graph.outputs] == [LOGITS]
    assert_equal_logits(path, decoder, prompt=7)


def test_what_is_measured_is_what_the_families_say(known):
    gpt2 = known("gpt2")[1]
    assert gpt2.most_positions == 300
    assert {a.scale for a in gpt2.layers} == {float(np.float32(8**-0.5))}
    qwen3 = known("qwen3")[1]
    assert [(a.query_heads, a.kv_heads, a.head_width) for a in qwen3.layers] == [(4, 2, 12)] * 2
    assert [a.kv_heads for a in known("multi-query")[1].layers] == [1, 1]
    assert [a.slopes for a in known("bloom")[1].layers] == [alibi_slopes(4)] * 2
    gemma = known("gemma")[1]
    assert [a.window for a in gemma.layers] == [20, 0, 20, 0]
    assert {a.softcap for a in gemma.layers} == {5.0}
    assert {a.scale for a in gemma.layers} == {float(np.float32(0.3))}
    oss = known("gpt-oss")[1]
    assert [a.window for a in oss.layers] == [9, 0]
    assert [a.sinks for a in oss.layers] == [True, True]


def test_operators_are_measured_like_graphs(known):
    rotary = known("gqa-packed-rotary")[1]
    assert rotary.most_positions == 400
    assert {(a.kv_heads, a.scale, a.form) for a in rotary.layers} == {
        (2, float(np.float32(0.4)), "GroupQueryAttention")
    }
    windowed = known("gqa-window-softcap")[1]
    assert [a.window for a in windowed.layers] == [30, 0]
    assert {a.softcap for a in windowed.layers} == {3.0}
    assert [a.sinks for a in known("gqa-sinks")[1].layers] == [True, True]
    assert [a.window for a in known("attention-23-flat")[1].layers] == [17, 17]


@pytest.mark.parametrize("window", [3, 11, 12, 13, 1000])
def test_windows_of_any_length(window, tmp_path):
    path = mixed_source(window=window).save(tmp_path / "windowed.onnx")
    (attention,) = read_decoder(path, OnnxRuntimeRunner()).layers
    assert attention.window == window
