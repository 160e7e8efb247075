import dataclasses

import numpy as np
import pytest

from graph_ir.errors import InputError
from graph_ir.kv.layout import HeadGroup, KvLayout, full_layout, prompt_layout
from graph_ir.kv.operator import cached_attention, is_cached_attention
from graph_ir.kv.scoring import OBSERVED
from graph_ir.kv.select import select_graph
from graph_ir.kv.step import prompt_graph, step_graph
from tests.decoder.tiny import alibi_slopes, tiny_decoder
from tests.kv.attention_decoder import Tables, attention_decoder, attention_of
from tests.kv.choosing_twin import observed_scores
from tests.kv.running import Steps, open_session, run

FORMS = ("standard", "onnxruntime")
CONTEXT, KEEP, GROWTH = 120, 40, 24


def layout_of(kv_heads, keep=KEEP, growth=GROWTH, layers=1, bits=32, context=CONTEXT):
    groups = (
        HeadGroup(tuple(heads), key_bits=bits, value_bits=bits, keep=keep, growth=growth)
        for heads in kv_heads
    )
    return KvLayout(context, (tuple(groups),) * layers)


def chosen_positions(query_HWD, key_HSD, length, keep, scale, softcap=0.0):
    """Slow and in float64: for each KV head the positions kept, rising."""
    if length <= keep:
        return [list(range(length))] * len(key_HSD)
    scores_HS = observed_scores(query_HWD, key_HSD, length, scale, softcap)
    return [
        sorted(sorted(range(length), key=lambda t: (-score_S[t], t))[:keep])
        for score_S in scores_HS
    ]


def drawn_states(session, seed):
    rng = np.random.default_rng(seed)
    feeds = {}
    for port in session.get_inputs():
        if port.name == "past_length":
            continue
        if port.type == "tensor(uint8)":
            feeds[port.name] = rng.integers(0, 256, port.shape, np.uint8)
        else:
            dtype = np.float16 if "16" in port.type else np.float32
            sign = np.abs if port.name.endswith("scale") else np.asarray
            feeds[port.name] = sign(rng.standard_normal(port.shape)).astype(dtype)
    return feeds


@pytest.mark.parametrize("length", [1, 20, KEEP, KEEP + 1, 77, CONTEXT])
@pytest.mark.parametrize(
    ("heads", "softcap"), [([(0, 1)], 0.0), ([(1,), (0,)], 1.5), ([(0, 1), (2, 3)], 0.0)]
)
def test_the_positions_of_the_twin_are_kept(heads, softcap, length):
    count = sum(map(len, heads))
    attention = attention_of(4, count, softcap=softcap)
    decoder = attention_decoder(attention, Tables(attention, 4))
    session = open_session(select_graph(decoder, layout_of(heads)))
    feeds = drawn_states(session, seed=length)
    names = [port.name for port in session.get_outputs()]
    made = session.run(names, {"past_length": np.array([length]), **feeds})
    made = dict(zip(names, made, strict=True))
    assert made["dropped"].tolist() == [max(0, length - KEEP)]
    key_HSD = np.zeros((count, CONTEXT, 8), np.float32)
    for at, members in enumerate(heads):
        key_HSD[list(members)] = feeds[f"prompt.0.{at}.key"][0]
    query = feeds["prompt.0.query"][0]
    expected = chosen_positions(query, key_HSD, length, KEEP, attention.scale, softcap)
    for at, members in enumerate(heads):
        for part in ("key", "value"):
            before = feeds[f"prompt.0.{at}.{part}"][0]
            after = made[f"next.0.{at}.{part}"][0]
            assert after.shape[1] == KEEP + GROWTH
            for own, head in enumerate(members):
                kept = expected[head]
                np.testing.assert_array_equal(after[own, : len(kept)], before[own, kept])
                assert not after[own, len(kept) :].any()


@pytest.mark.parametrize("bits", [16, 8, 4])
def test_stored_entries_and_their_scales_go_together(bits):
    attention = attention_of(4, 2)
    decoder = attention_decoder(attention, Tables(attention, 4))
    session = open_session(select_graph(decoder, layout_of([(0, 1)], bits=bits)))
    feeds = drawn_states(session, seed=bits)
    names = [port.name for port in session.get_outputs()]
    made = session.run(names, {"past_length": np.array([100]), **feeds})
    made = dict(zip(names, made, strict=True))
    for head in range(2):
        whole = feeds["prompt.0.0.key"][0, head]
        entries = made["next.0.0.key"][0, head, :KEEP]
        kept = [int(np.flatnonzero((whole == entry).all(axis=1))[0]) for entry in entries]
        assert kept == sorted(set(kept))
        assert kept[-OBSERVED:] == list(range(100 - OBSERVED, 100))
        for name in (n for n in feeds if n != "prompt.0.query"):
            after = made[name.replace("prompt.", "next.", 1)][0, head, :KEEP]
            np.testing.assert_array_equal(after, feeds[name][0, head, kept])


class Choosing:
    """A prompt in chunks, what is chosen of it, then token by token."""

    def __init__(self, decoder, layout, rows, form, decode_rows=1):
        self.prompt = Prompt(decoder, layout, rows, form)
        self.select = open_session(select_graph(decoder, layout))
        self.decode = open_session(step_graph(decoder, layout, decode_rows, form, "all"))
        self.rows = decode_rows

    def run(self, tokens, prompt):
        logits = self.prompt.read(tokens[:prompt])
        past = {"past_length": np.array([prompt])}
        *states, dropped = self.select.run(None, {**past, **self.prompt.states})
        for at in range(prompt, len(tokens), self.rows):
            part = tokens[at : at + self.rows]
            ids = np.zeros((1, self.rows), np.int64)
            ids[0, : len(part)] = part
            feeds = {"input_ids": ids, "past_length": np.array([at]), "dropped": dropped}
            if self.rows > 1:
                feeds["count"] = np.array([len(part)])
            known = [port.name for port in self.decode.get_inputs()]
            feeds |= dict(zip([n for n in known if n.startswith("cache.")], states, strict=True))
            feeds = {name: array for name, array in feeds.items() if name in known}
            found, *states = self.decode.run(None, feeds)
            logits += [*found[0][: len(part)]]
        return np.array(logits)


class Prompt:
    """A prompt in chunks of some rows."""

    def __init__(self, decoder, layout, rows, form):
        model = prompt_graph(decoder, layout, rows, form, "all")
        self.session, self.rows = open_session(model), rows
        self.states = {
            value.name: np.zeros(tuple(value.shape), value.dtype.numpy())
            for value in model.graph.inputs
            if value.name.startswith("prompt.")
        }

    def read(self, tokens):
        logits = []
        names = {port.name for port in self.session.get_inputs()}
        for at in range(0, len(tokens), self.rows):
            part = tokens[at : at + self.rows]
            ids = np.full((1, self.rows), 3)
            ids[0, : len(part)] = part
            feeds = {"input_ids": ids, "past_length": np.array([at]), **self.states}
            feeds["count"] = np.array([len(part)])
            found, *after = self.session.run(None, {n: a for n, a in feeds.items() if n in names})
            self.states = dict(zip(self.states, after, strict=True))
            logits += [*found[0][: len(part)]]
        return logits


@pytest.mark.parametrize("form", FORMS)
def test_the_last_queries_stay_and_padding_leaves_no_trace(form):
    attention = attention_of(4, 2)
    tables = Tables(attention, 16)
    decoder = attention_decoder(attention, tables)
    tokens = np.random.default_rng(1).integers(0, 16, 59)
    for rows in (7, 40, 1):
        prompt = Prompt(decoder, layout_of([(0, 1)]), rows, form)
        prompt.read(tokens)
        expected = tables.query[tokens[-OBSERVED:]].transpose(1, 0, 2)
        np.testing.assert_array_equal(prompt.states["prompt.0.query"][0], expected)
    short = Prompt(decoder, layout_of([(0, 1)]), 7, form)
    short.read(tokens[:9])
    assert not short.states["prompt.0.query"][0, :, : OBSERVED - 9].any()


@pytest.mark.parametrize("decode_rows", [1, 5])
@pytest.mark.parametrize("form", FORMS)
def test_tokens_attend_to_what_was_chosen_and_to_all_after_it(form, decode_rows):
    attention = attention_of(4, 2)
    tables = Tables(attention, 64)
    decoder = attention_decoder(attention, tables)
    tokens = np.random.default_rng(2).integers(0, 64, 80 + GROWTH)
    chosen = Choosing(decoder, layout_of([(1,), (0,)]), 16, form, decode_rows)
    found = chosen.run(tokens, 80)[80:]
    query_HWD = tables.query[tokens[80 - OBSERVED : 80]].transpose(1, 0, 2)
    key_HSD = tables.key[tokens].transpose(1, 0, 2)
    kept = chosen_positions(query_HWD, key_HSD[:, :80], 80, KEEP, attention.scale)
    assert kept[0] != kept[1]
    for at in range(80, len(tokens)):
        for head in range(4):
            seen = [*kept[head // 2], *range(80, at + 1)]
            query = tables.query[tokens[at], head].astype(np.float64)
            logits = attention.scale * tables.key[tokens[seen], head // 2] @ query
            weights = np.exp(logits - logits.max())
            expected = weights / weights.sum() @ tables.value[tokens[seen], head // 2]
            own = found[at - 80, head * 8 : (head + 1) * 8]
            np.testing.assert_allclose(own, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bits", [32, 8])
@pytest.mark.parametrize("form", FORMS)
def test_a_prompt_of_no_more_than_is_kept_is_the_full_cache(form, bits):
    decoder = tiny_decoder(layers=2)
    tokens = np.random.default_rng(3).integers(0, decoder.vocabulary, KEEP + GROWTH)
    chosen = Choosing(decoder, layout_of([(0, 1)], layers=2, bits=bits), 8, form)
    full = Steps(decoder, full_layout(CONTEXT, (2, 2), bits), 8, form, "all")
    for prompt in (KEEP, 9):
        full.length = 0
        expected = run(full, tokens, prompt)
        found = chosen.run(tokens, prompt)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
        chosen.prompt = Prompt(decoder, layout_of([(0, 1)], layers=2, bits=bits), 8, form)


def test_positions_stay_true():
    """Dropping changes what is seen, not where a new token stands."""
    decoder = tiny_decoder(layers=1)
    tokens = np.random.default_rng(4).integers(0, decoder.vocabulary, 61)
    # All but one position are kept: close to the full cache, far from positions that were moved.
    few = Choosing(decoder, layout_of([(0, 1)], keep=59, growth=2), 8, "standard").run(tokens, 60)
    full = run(Steps(decoder, full_layout(CONTEXT, (2,)), 8, "standard", "all"), tokens, 60)
    assert abs(few[60] - full[60]).max() < 0.05 * abs(full[60]).max()


def test_attributes_and_names():
    decoder = tiny_decoder(layers=2)
    layout = layout_of([(0, 1)], layers=2)
    model = step_graph(decoder, layout, 1, "onnxruntime")
    assert [v.name for v in model.graph.inputs][:4] == [
        "input_ids", "past_length", "dropped", "cache.0.0.key",
    ]  # fmt: skip
    (first, _) = (cached_attention(n) for n in model.graph if is_cached_attention(n))
    assert first.groups[0].kept == layout.layers[0][0]
    assert first.groups[0].slots == KEEP + GROWTH
    whole = prompt_graph(decoder, layout, 8, "standard")
    assert [v.name for v in whole.graph.outputs][1:4] == [
        "next.prompt.0.0.key", "next.prompt.0.0.value", "next.prompt.1.0.key",
    ]  # fmt: skip
    assert prompt_layout(layout) == full_layout(CONTEXT, (2, 2))


@pytest.mark.parametrize(
    "options", [{"windows": (9,)}, {"slopes": alibi_slopes(4), "rope": False}, {"sinks": True}]
)
def test_attentions_that_need_to_know_positions_are_refused(options):
    with pytest.raises(InputError, match="expected no sliding window, ALiBi or learned sinks"):
        step_graph(tiny_decoder(layers=1, **options), layout_of([(0, 1)]), 1, "standard")


def test_layouts_that_cannot_be():
    group = HeadGroup((0,), keep=40, growth=8)
    for changes in ({"growth": 0}, {"keep": 0}, {"keep": -1}, {"window": 8}):
        with pytest.raises(InputError):
            dataclasses.replace(group, **changes)
    with pytest.raises(InputError, match="the same keep and growth"):
        KvLayout(99, ((group, HeadGroup((1,))),))
    with pytest.raises(InputError, match="at most 39"):
        KvLayout(39, ((group,),))
    with pytest.raises(InputError, match="kept whatever they score"):
        select_graph(tiny_decoder(layers=1), layout_of([(0, 1)], keep=OBSERVED))
