import dataclasses

import numpy as np
import pytest

from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.errors import InputError
from graph_ir.kv.layout import HeadGroup, KvLayout
from graph_ir.kv.scoring import SINKS, Expected, Rotation
from graph_ir.kv.select import select_graph
from tests.decoder.tiny import tiny_decoder
from tests.kv.attention_decoder import Tables, attention_decoder, attention_of
from tests.kv.choosing_twin import attended, chosen, expected_scores
from tests.kv.running import open_session
from tests.kv.test_select import CONTEXT, FORMS, GROWTH, KEEP, Choosing, Prompt, drawn_states

TURNS = Rotation(8, ((0, 4, 0.9), (5, 1, 0.02), (2, 6, -0.003)))
# As `tiny_decoder` rotates.
TINY = Rotation(8, tuple((i, i + 4, 100.0 ** (-2 * i / 8)) for i in range(4)))


def layout_of(kv_heads, rotation, shared=False, bits=32, layers=1, epsilon=0.01, keep=KEEP):
    group = HeadGroup(
        tuple(range(kv_heads)),
        key_bits=bits,
        value_bits=bits,
        keep=keep,
        growth=GROWTH,
        shared=shared,
    )
    return KvLayout(CONTEXT, ((group,),) * layers, Expected((rotation,) * layers, epsilon))


@pytest.mark.parametrize("length", [SINKS, KEEP, KEEP + 1, 77, CONTEXT])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "rotation", "epsilon"),
    [(4, 2, Rotation(8), 0.0), (4, 2, TURNS, 0.01), (4, 1, TURNS, 0.0), (3, 3, TURNS, 0.01)],
)
def test_the_positions_of_the_twin_are_kept(heads, kv_heads, rotation, epsilon, length):
    attention = attention_of(heads, kv_heads)
    decoder = attention_decoder(attention, Tables(attention, 4))
    for shared in (False, kv_heads > 1):
        layout = layout_of(kv_heads, rotation, shared, epsilon=epsilon)
        session = open_session(select_graph(decoder, layout))
        feeds = drawn_states(session, seed=length)
        spread = feeds["prompt.0.query_spread"]
        spread = (spread @ spread.transpose(0, 1, 3, 2)).astype(np.float32)
        spread *= np.float32(max(1, length - SINKS) / 8)
        feeds["prompt.0.query_spread"] = spread
        names = [port.name for port in session.get_outputs()]
        made = session.run(names, {"past_length": np.array([length]), **feeds})
        made = dict(zip(names, made, strict=True))
        key, value = (feeds[f"prompt.0.0.{part}"][0] for part in ("key", "value"))
        scores = np.zeros((kv_heads, length))
        if length > KEEP:
            scores = expected_scores(
                feeds["prompt.0.query_mean"][0, :, 0],
                spread[0].astype(np.float64) / (length - SINKS),
                key,
                value,
                length,
                attention.scale,
                rotation,
                epsilon,
            )
        kept = chosen(scores, KEEP, shared)
        assert all(own[: min(length, SINKS)] == list(range(min(length, SINKS))) for own in kept)
        pool = made["next.0.0.key"][0, :, :KEEP].reshape(kv_heads * KEEP, -1)
        if length > KEEP:
            expected = np.concatenate([key[h, own] for h, own in enumerate(kept)])
            np.testing.assert_array_equal(pool, expected)
        else:
            np.testing.assert_array_equal(made["next.0.0.key"][0, :, :length], key[:, :length])
        assert not made["next.0.0.key"][0, :, KEEP:].any()


def queries_at_zero(decoder, tokens):
    """Of all layers, before rotation, in float64."""
    names = [n.inputs[0].name for n in decoder.model.graph if n.op_type == "CausalAttention"]
    feeds = {"input_ids": tokens[None], "positions": np.arange(len(tokens))}
    found = OnnxRuntimeRunner().open(decoder.model, names)(feeds)
    for name in names:
        rows_HRD = found[name][0].astype(np.float64)
        for one, other, radians in TINY.pairs:
            angle = radians * np.arange(len(tokens))
            first, second = rows_HRD[..., one].copy(), rows_HRD[..., other].copy()
            rows_HRD[..., one] = np.cos(angle) * first + np.sin(angle) * second
            rows_HRD[..., other] = np.cos(angle) * second - np.sin(angle) * first
        yield rows_HRD


@pytest.mark.parametrize(
    ("form", "length"),
    [("standard", 3), ("onnxruntime", 5), ("standard", 59), ("standard", CONTEXT)],
)
def test_chunks_add_up_to_the_statistics_of_all_queries(form, length):
    decoder = tiny_decoder(layers=2)
    tokens = np.random.default_rng(1).integers(0, decoder.vocabulary, length)
    for rows in (7, 40, 1):
        prompt = Prompt(decoder, layout_of(2, TINY, layers=2), rows, form)
        prompt.read(tokens)
        for layer, rows_HRD in enumerate(queries_at_zero(decoder, tokens)):
            counted = rows_HRD[:, SINKS:]
            mean = counted.mean(axis=1) if length > SINKS else np.zeros((4, 8))
            left = counted - mean[:, None]
            found = prompt.states[f"prompt.{layer}.query_mean"][0, :, 0]
            np.testing.assert_allclose(found, mean, rtol=0, atol=2e-5)
            found = prompt.states[f"prompt.{layer}.query_spread"][0]
            expected = left.transpose(0, 2, 1) @ left
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_tokens_attend_to_what_was_chosen_and_to_all_after_it(form, shared):
    attention = attention_of(4, 2)
    tables = Tables(attention, 64)
    tables.query[:, :2] *= np.float32(2)
    tables.query[:] += np.float32(0.5)
    decoder = attention_decoder(attention, tables)
    tokens = np.random.default_rng(2).integers(0, 64, 80 + GROWTH)
    found = Choosing(decoder, layout_of(2, Rotation(8), shared), 16, form).run(tokens, 80)
    query = tables.query[tokens[SINKS:80]].transpose(1, 0, 2).astype(np.float64)
    mean = query.mean(axis=1)
    left = query - mean[:, None]
    covariance = left.transpose(0, 2, 1) @ left / (80 - SINKS)
    key, value = (t[tokens[:80]].transpose(1, 0, 2) for t in (tables.key, tables.value))
    scores = expected_scores(mean, covariance, key, value, 80, attention.scale, Rotation(8), 0.01)
    kept = chosen(scores, KEEP, shared)
    assert kept[0] != kept[1]
    for at in range(80, len(tokens)):
        expected = attended(tables, tokens, at, kept, 80, attention)
        np.testing.assert_allclose(found[at], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bits", [16, 8, 4])
def test_stored_keys_are_scored_as_they_were_before_they_were_turned(bits):
    attention = attention_of(4, 2, head_width=32)
    tables = Tables(attention, 64)
    decoder = attention_decoder(attention, tables)
    tokens = np.random.default_rng(2).integers(0, 64, 80 + GROWTH)
    exact, stored = (
        Choosing(decoder, layout_of(2, Rotation(32), True, bits=b), 16, "standard").run(tokens, 80)
        for b in (32, bits)
    )
    error = abs(stored[80:] - exact[80:]).mean() / abs(exact[80:]).mean()
    assert error < {16: 3e-3, 8: 5e-2, 4: 0.5}[bits]


def test_layouts_that_cannot_be():
    layout = layout_of(2, TINY)
    with pytest.raises(InputError, match="rotations of 1 attentions, got 2"):
        dataclasses.replace(layout, scoring=Expected((TINY, TINY)))
    with pytest.raises(InputError, match="planes of two"):
        Rotation(8, ((0, 1, 0.1), (1, 2, 0.1)))
    with pytest.raises(InputError, match="planes of two"):
        Rotation(8, ((0, 8, 0.1),))
    with pytest.raises(InputError, match="kept whatever they score"):
        select_graph(tiny_decoder(layers=1), layout_of(2, TINY, keep=SINKS))
