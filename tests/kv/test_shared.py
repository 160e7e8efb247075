import numpy as np
import pytest

from graph_ir.kv.layout import HeadGroup, KvLayout
from graph_ir.kv.operator import cached_attention, is_cached_attention
from graph_ir.kv.scoring import OBSERVED
from graph_ir.kv.select import select_graph
from graph_ir.kv.step import step_graph
from tests.decoder.tiny import tiny_decoder
from tests.kv.attention_decoder import Tables, attention_decoder, attention_of
from tests.kv.choosing_twin import attended, chosen, observed_scores
from tests.kv.running import Steps, open_session, run
from tests.kv.test_select import Choosing, drawn_states, layout_of

FORMS = ("standard", "onnxruntime")
CONTEXT, KEEP, GROWTH = 120, 40, 24


def shared_layout(heads, layers=1, bits=32, keep=KEEP):
    group = HeadGroup(
        tuple(range(heads)), key_bits=bits, value_bits=bits, keep=keep, growth=GROWTH, shared=True
    )
    return KvLayout(CONTEXT, ((group,),) * layers)


def select(session, feeds, length):
    names = [port.name for port in session.get_outputs()]
    made = session.run(names, {"past_length": np.array([length]), **feeds})
    return dict(zip(names, made, strict=True))


def uneven(tables, head, tokens):
    """Tables with one KV head whose queries are long: it attends to little."""
    each = tables.query.shape[1] // tables.key.shape[1]
    tables.query[:, head * each : (head + 1) * each] *= np.float32(3)
    return np.random.default_rng(7).integers(0, len(tables.query), tokens)


@pytest.mark.parametrize("length", [1, 33, KEEP, KEEP + 1, 77, CONTEXT])
@pytest.mark.parametrize(("query_heads", "kv_heads"), [(4, 2), (3, 3)])
def test_heads_share_what_the_twin_gives_them(query_heads, kv_heads, length):
    attention = attention_of(query_heads, kv_heads)
    decoder = attention_decoder(attention, Tables(attention, 4))
    session = open_session(select_graph(decoder, shared_layout(kv_heads)))
    feeds = drawn_states(session, seed=length)
    feeds["prompt.0.query"][:, : query_heads // kv_heads] *= 4
    made = select(session, feeds, length)
    assert made["dropped"].tolist() == [max(0, length - KEEP)]
    key, query = feeds["prompt.0.0.key"][0], feeds["prompt.0.query"][0]
    scores = np.zeros((kv_heads, length))
    if length > KEEP:
        scores = observed_scores(query, key, length, attention.scale)
    kept = chosen(scores, KEEP, shared=True)
    counts = [KEEP] * kv_heads if length <= KEEP else [len(own) for own in kept]
    np.testing.assert_array_equal(made["next.0.0.ends"].reshape(-1), np.cumsum(counts))
    if length == 77:
        assert min(counts) < KEEP < max(counts)
        assert min(counts) >= OBSERVED + int(0.2 * (KEEP - OBSERVED))
    for part in ("key", "value"):
        before, after = feeds[f"prompt.0.0.{part}"][0], made[f"next.0.0.{part}"][0]
        assert after.shape[:2] == (kv_heads, KEEP + GROWTH)
        if length > KEEP:
            pool = after[:, :KEEP].reshape(kv_heads * KEEP, -1)
            expected = np.concatenate([before[h, own] for h, own in enumerate(kept)])
            np.testing.assert_array_equal(pool, expected)
            assert not after[:, KEEP:].any()
        else:
            np.testing.assert_array_equal(after[:, :length], before[:, :length])
            assert not after[:, length:].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "softcap", "decode_rows", "prompt"),
    [(4, 2, 0.0, 1, 80), (4, 2, 0.0, 5, 80), (3, 3, 1.5, 1, 80), (3, 3, 0.0, 5, 20)],
)
def test_each_head_attends_to_its_own(heads, kv_heads, softcap, form, decode_rows, prompt):
    attention = attention_of(heads, kv_heads, softcap=softcap)
    tables = Tables(attention, 64)
    tokens = uneven(tables, 1, prompt + GROWTH)
    decoder = attention_decoder(attention, tables)
    found = Choosing(decoder, shared_layout(kv_heads), 16, form, decode_rows).run(tokens, prompt)
    query = tables.query[tokens[max(0, prompt - OBSERVED) : prompt]].transpose(1, 0, 2)
    key = tables.key[tokens[:prompt]].transpose(1, 0, 2)
    scores = np.zeros((kv_heads, prompt))
    if prompt > KEEP:
        scores = observed_scores(query, key, prompt, attention.scale, softcap)
    kept = chosen(scores, KEEP, shared=True)
    assert prompt <= KEEP or len({len(own) for own in kept}) > 1
    for at in range(prompt, len(tokens)):
        expected = attended(tables, tokens, at, kept, prompt, attention)
        np.testing.assert_allclose(found[at], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bits", [16, 8, 4])
def test_stored_entries_of_heads_that_share_are_close_to_exact_ones(bits):
    attention = attention_of(4, 2, head_width=32)
    tables = Tables(attention, 64)
    tokens = uneven(tables, 0, 80 + GROWTH)
    decoder = attention_decoder(attention, tables)
    exact = Choosing(decoder, shared_layout(2), 16, "standard").run(tokens, 80)
    for rows in (1, 5):
        layout = shared_layout(2, bits=bits)
        found = Choosing(decoder, layout, 16, "standard", rows).run(tokens, 80)
        error = abs(found[80:] - exact[80:]).mean() / abs(exact[80:]).mean()
        assert error < {16: 2e-3, 8: 3e-2, 4: 0.4}[bits]


@pytest.mark.parametrize("form", FORMS)
def test_a_short_prompt_is_the_full_cache(form):
    decoder = tiny_decoder(layers=2)
    tokens = np.random.default_rng(3).integers(0, decoder.vocabulary, KEEP + GROWTH)
    exact = Steps(decoder, layout_of([(0, 1)], 0, 0, 2), 8, form, "all")
    found = Choosing(decoder, shared_layout(2, layers=2), 8, form).run(tokens, KEEP)
    np.testing.assert_allclose(found, run(exact, tokens, KEEP), rtol=0, atol=2e-5)


def test_attributes_and_bytes():
    decoder = tiny_decoder(layers=1)
    layout = shared_layout(2)
    model = step_graph(decoder, layout, 1, "onnxruntime")
    (node,) = (cached_attention(n) for n in model.graph if is_cached_attention(n))
    assert node.groups[0].kept == layout.layers[0][0]
    assert node.groups[0].slots == KEEP + GROWTH
    states = [value for value in model.graph.inputs if value.name.startswith("cache.")]
    even = step_graph(decoder, layout_of([(0, 1)]), 1, "onnxruntime")
    others = [value for value in even.graph.inputs if value.name.startswith("cache.")]
    assert [v.shape for v in states[:2]] == [v.shape for v in others]
    assert [v.name for v in states[2:]] == ["cache.0.0.ends"]
