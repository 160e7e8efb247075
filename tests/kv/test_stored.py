"""Caches of fewer bits: against the twin with rows that are rounded by code of its own."""

import numpy as np
import pytest

from egrl.bench.kv import exactness_model
from graph_ir.errors import InputError
from graph_ir.kv.layout import HeadGroup, KvLayout, full_layout
from graph_ir.kv.step import step_graph
from tests.decoder.tiny import tiny_decoder
from tests.kv.attention_decoder import Tables, attention_decoder, attention_of
from tests.kv.reference import Twin
from tests.kv.running import Steps, run

TOKENS = 31


def blockwise(row, bits, blocks):
    """A row after it was stored without being rotated."""
    if bits == 32:
        return np.float64(row)
    if bits == 16:
        return np.float64(np.float16(row))
    stored = []
    for block in np.split(np.float32(row), blocks):
        low, high = block.min(), block.max()
        scale = np.float32(np.float16(max((high - low) / np.float32(2**bits - 1), 6e-8)))
        low = np.float32(np.float16(low))
        level = np.clip(np.rint((block - low) / scale), 0, 2**bits - 1)
        stored.append(low + scale * level)
    return np.float64(np.concatenate(stored))


def rounded(row, bits, blocks=1):
    """A row after it was stored."""
    if bits != 4:
        return blockwise(row, bits, 1)
    width = len(row)
    signs = [[(-1) ** (i & j).bit_count() for j in range(width)] for i in range(width)]
    turn = np.array(signs) / np.sqrt(width)
    return blockwise(np.float32(row) @ np.float32(turn), bits, blocks) @ turn


def rounded_key(row, bits):
    return rounded(row, bits, len(row) // 32)


LAYOUTS = {
    "full": (0, 0, False),
    "streaming": (13, 2, False),
    "compensated": (14, 3, True),
}


@pytest.mark.parametrize("in_place", [True, False], ids=["in-place", "copied"])
@pytest.mark.parametrize("form", ["standard", "onnxruntime"])
@pytest.mark.parametrize("bits", [(16, 16), (8, 8), (4, 4), (4, 32), (32, 8), (8, 16)])
def test_stored_caches_against_the_twin(bits, form, in_place):
    attention = attention_of(query_heads=6, kv_heads=3, head_width=64, value_width=16)
    tables = Tables(attention, TOKENS)
    groups = tuple(HeadGroup((at,), *LAYOUTS[name], *bits) for at, name in enumerate(LAYOUTS))
    layout = KvLayout(60, (groups,))
    steps = Steps(attention_decoder(attention, tables), layout, 9, form, "all", in_place)
    tokens = np.random.default_rng(3).integers(0, TOKENS, 60)
    got = run(steps, tokens, 25)
    twin = Twin(attention, groups, None, (rounded_key, rounded))
    want = []
    for at in range(0, 25, 9):
        part = tokens[at : min(at + 9, 25)]
        want += [*twin.chunk(tables.query[part], tables.key[part], tables.value[part])]
    for token in tokens[25:]:
        want.append(twin.decode(tables.query[token], tables.key[token], tables.value[token]))
    error = np.abs(got - np.array(want).reshape(60, -1))
    # A row on the edge between two levels may be rounded to the other one.
    assert np.quantile(error, 0.98) < 1e-5
    assert error.max() < 0.1


def test_decoders_of_the_oldest_opset(monkeypatch):
    monkeypatch.setattr(exactness_model, "_OPSET", 13)
    for form in ("standard", "onnxruntime"):
        test_stored_caches_against_the_twin((4, 8), form, True)


def test_states_of_fewer_bits():
    layout = KvLayout(40, ((HeadGroup((0, 1), 9, 2, True, 4, 8),), (HeadGroup((0, 1)),)))
    model = step_graph(tiny_decoder(), layout, 4, "standard")
    states = {
        value.name: (value.dtype.name, tuple(value.shape))
        for value in model.graph.inputs
        if value.name.startswith("cache.0")
    }
    assert states == {
        "cache.0.0.key": ("UINT8", (1, 2, 12, 4)),
        "cache.0.0.value": ("UINT8", (1, 2, 12, 8)),
        "cache.0.0.key_scale": ("FLOAT16", (1, 2, 12, 2)),
        "cache.0.0.value_scale": ("FLOAT16", (1, 2, 12, 2)),
        "cache.0.0.key_mean": ("FLOAT", (1, 2, 1, 8)),
        "cache.0.0.value_mean": ("FLOAT", (1, 2, 1, 8)),
    }


@pytest.mark.parametrize(("bits", "loss"), [(16, 2e-3), (8, 2e-2), (4, 0.3)])
def test_fewer_bits_cost_little(bits, loss):
    decoder = tiny_decoder()
    tokens = np.random.default_rng(0).integers(0, 48, 40)
    exact, stored = (
        run(Steps(decoder, full_layout(40, (2, 2), kept), 8), tokens, 16)[2:] for kept in (32, bits)
    )
    assert 0 < np.abs(exact - stored).max() < loss * np.ptp(exact)


def test_padding_leaves_no_trace_in_stored_caches():
    decoder = tiny_decoder()
    layout = KvLayout(
        40, ((HeadGroup((0, 1), 9, 2, True, 4, 8),), (HeadGroup((0, 1), 0, 0, False, 8, 4),))
    )
    states = []
    for padding in (0, 17):
        steps = Steps(decoder, layout, 8, in_place=True)
        for part in (np.arange(8), np.arange(20, 27), np.arange(3)):
            ids = np.full(8, padding)
            ids[: len(part)] = part
            steps._run(steps.chunks, ids[None], {"count": np.array([len(part)])})
            steps.length += len(part) - 1
        states.append({name: value.numpy().copy() for name, value in steps.states.items()})
    for name in states[0]:
        np.testing.assert_array_equal(states[0][name], states[1][name])


def test_odd_widths_have_no_pairs_of_4_bits():
    decoder = tiny_decoder(value_width=5)
    with pytest.raises(InputError, match="even width for 4 bits, got 8 and 5"):
        step_graph(decoder, full_layout(40, (2, 2), 4), 1, "standard")
