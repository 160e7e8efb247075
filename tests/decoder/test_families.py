"""Every family: its source, token by token with its own caches, against the normal form."""

import numpy as np
import pytest

from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.decoder.decoder import LOGITS, POSITIONS, TOKENS
from graph_ir.decoder.read import read_decoder
from tests.decoder.families import FAMILIES, VOCABULARY
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


@pytest.mark.parametrize("family", SOURCES)
def test_the_normal_form_equals_the_source(family, tmp_path):
    path = SOURCES[family](seed=2).save(tmp_path / f"{family}.onnx")
    decoder = read_decoder(path, OnnxRuntimeRunner())
    assert decoder.vocabulary == VOCABULARY
    assert [value.name for value in decoder.model.graph.inputs] == [TOKENS, POSITIONS]
    assert [value.name for value in decoder.model.graph.outputs] == [LOGITS]
    assert_equal_logits(path, decoder, prompt=7)


def read(family, tmp_path, **options):
    path = FAMILIES[family](**options).save(tmp_path / f"{family}.onnx")
    return read_decoder(path, OnnxRuntimeRunner())


def test_what_is_measured_is_what_the_families_say(tmp_path):
    gpt2 = read("gpt2", tmp_path)
    assert gpt2.most_positions == 300
    assert {a.scale for a in gpt2.layers} == {float(np.float32(8**-0.5))}
    qwen3 = read("qwen3", tmp_path)
    assert [(a.query_heads, a.kv_heads, a.head_width) for a in qwen3.layers] == [(4, 2, 12)] * 2
    assert [a.kv_heads for a in read("multi-query", tmp_path).layers] == [1, 1]
    bloom = read("bloom", tmp_path)
    assert [a.slopes for a in bloom.layers] == [alibi_slopes(4)] * 2
    gemma = read("gemma", tmp_path)
    assert [a.window for a in gemma.layers] == [20, 0, 20, 0]
    assert {a.softcap for a in gemma.layers} == {5.0}
    assert {a.scale for a in gemma.layers} == {float(np.float32(0.3))}
    oss = read("gpt-oss", tmp_path)
    assert [a.window for a in oss.layers] == [9, 0]
    assert [a.sinks for a in oss.layers] == [True, True]


@pytest.mark.parametrize("window", [3, 8, 11, 12, 13, 64, 1000])
def test_windows_of_any_length(window, tmp_path):
    gemma = read("gemma", tmp_path, window=window)
    assert [a.window for a in gemma.layers] == [window, 0, window, 0]
