import dataclasses

import numpy as np
import pytest

from graph_ir.errors import InputError
from graph_ir.kv.layout import HeadGroup, KvLayout, full_layout
from graph_ir.kv.operator import cached_attention, is_cached_attention
from graph_ir.kv.step import step_graph
from tests.decoder.tiny import alibi_slopes, tiny_decoder
from tests.kv.attention_decoder import Tables, attention_decoder, attention_of
from tests.kv.running import Steps, run

FORMS = ("standard", "onnxruntime")
CONTEXT, BUFFER, HISTORY, RECENT = 400, 24, 40, 5


def layout_of(*heads, layers=1, bits=32, buffer=BUFFER, recent=RECENT):
    groups = (
        HeadGroup(
            tuple(own),
            key_bits=bits,
            value_bits=bits,
            buffer=buffer,
            history=HISTORY,
            recent=recent,
        )
        for own in heads
    )
    return KvLayout(CONTEXT, (tuple(groups),) * layers)


class Twin:
    """Slow, attention in float64: tokens that each KV head holds, how often each was low."""

    def __init__(self, tables, attention, recent=RECENT):
        self.tables, self.attention, self.recent = tables, attention, recent
        self.each = attention.query_heads // attention.kv_heads
        self.held = [[] for _ in range(attention.kv_heads)]
        self.count = [np.zeros(0, np.float32) for _ in self.held]

    def token(self, token):
        """Of a single row: what is dropped makes room before it attends."""
        outputs = []
        for head in range(len(self.held)):
            held, count = self.held[head], self.count[head]
            if len(held) < BUFFER:
                held.append(token)
                count = np.append(count, 0)
                at = len(held) - 1
            else:
                at = int(np.argmax(count))
                held[at] = token
            count[at] = -self.recent
            output, mean_T = self._attend(head, token, held)
            low_T = mean_T < np.float32(1 / len(held))
            decayed = count * np.float32(1 - 1 / HISTORY) + low_T
            self.count[head] = decayed.astype(np.float32)
            outputs += output
        return np.concatenate(outputs)

    def chunk(self, tokens):
        """Of several rows: they attend to what is held and to one another, then make room."""
        rows = [[] for _ in tokens]
        for head in range(len(self.held)):
            held, decay = self.held[head], 1 - 1 / HISTORY
            count = [*self.count[head].astype(np.float64)]
            seen = [*held]
            for row, token in enumerate(tokens):
                seen.append(token)
                count.append(-self.recent)
                output, mean_T = self._attend(head, token, seen)
                count = [
                    c * decay + (m < 1 / len(seen)) for c, m in zip(count, mean_T, strict=True)
                ]
                rows[row] += output
            old, new = count[: len(held)], count[len(held) :]
            for token, own in zip(tokens, new, strict=True):
                if len(held) < BUFFER:
                    held.append(token)
                    old.append(own)
            # The rows that found no empty slot take those of the greatest counts, in order.
            begun = len(self.count[head])
            late = len(tokens) - (len(held) - begun)
            ranked = sorted(range(begun), key=lambda t: (-old[t], t))[:late]
            for at, row in zip(ranked, range(len(tokens) - late, len(tokens)), strict=True):
                held[at], old[at] = tokens[row], new[row]
            self.count[head] = np.array(old, np.float32)
        return np.array([np.concatenate(output) for output in rows])

    def _attend(self, head, token, seen):
        outputs, mean_T = [], np.zeros(len(seen))
        for query in range(head * self.each, (head + 1) * self.each):
            query_D = self.tables.query[token, query].astype(np.float64)
            logits = self.attention.scale * self.tables.key[seen, head] @ query_D
            if self.attention.softcap:
                logits = self.attention.softcap * np.tanh(logits / self.attention.softcap)
            weights = np.exp(logits - logits.max())
            weights /= weights.sum()
            mean_T += weights / self.each
            outputs.append(weights @ self.tables.value[seen, head])
        return outputs, mean_T


@pytest.mark.parametrize(("form", "in_place"), [("standard", True), ("onnxruntime", False)])
@pytest.mark.parametrize(
    ("query_heads", "kv_heads", "groups", "softcap", "rows", "recent"),
    [
        (4, 2, [(0, 1)], 0.0, 7, RECENT),
        (4, 1, [(0,)], 0.0, 12, 0),
        (3, 3, [(1,), (0, 2)], 1.5, 5, 1),
    ],
)
def test_it_drops_and_attends_as_the_twin(
    query_heads, kv_heads, groups, softcap, rows, recent, form, in_place
):
    attention = attention_of(query_heads, kv_heads, softcap=softcap)
    tables = Tables(attention, 300)
    decoder = attention_decoder(attention, tables)
    layout = layout_of(*groups, recent=recent)
    steps = Steps(decoder, layout, rows, form, "all", in_place=in_place)
    twin = Twin(tables, attention, recent)
    tokens = np.random.default_rng(5).permutation(300)
    at = 0
    # Chunks with and without padding, past a full buffer, then tokens, then a chunk again.
    for count in [rows, rows - 2, rows, 3, rows, rows, rows, 1, 2, rows]:
        found, expected = steps.chunk(tokens[at : at + count]), twin.chunk(tokens[at : at + count])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        at += count
    for _ in range(90):
        found, expected = steps.token(tokens[at]), twin.token(tokens[at])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        at += 1
    for count in (rows, rows - 1):
        found, expected = steps.chunk(tokens[at : at + count]), twin.chunk(tokens[at : at + count])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        at += count
    for index, own in enumerate(groups):
        keys = steps.states[f"cache.0.{index}.key"].numpy()[0]
        counts = steps.states[f"cache.0.{index}.unimportant"].numpy()[0, :, :, 0]
        for lane, head in enumerate(own):
            np.testing.assert_array_equal(keys[lane], tables.key[twin.held[head], head])
            np.testing.assert_allclose(counts[lane], twin.count[head], rtol=0, atol=1e-4)
            assert max(twin.held[head]) > 0
            ages = sorted(tokens.tolist().index(token) for token in twin.held[head])
            assert ages[-1] == at - 1
            assert ages[0] < at - BUFFER  # more than a window


@pytest.mark.parametrize("form", FORMS)
def test_until_the_buffer_is_full_it_is_the_full_cache(form):
    decoder = tiny_decoder(layers=2)
    tokens = np.random.default_rng(3).integers(0, decoder.vocabulary, BUFFER)
    exact = run(Steps(decoder, full_layout(CONTEXT, (2, 2)), 8, form, "all"), tokens, 17)
    found = Steps(decoder, layout_of((0, 1), layers=2), 8, form, "all")
    np.testing.assert_allclose(run(found, tokens, 17), exact, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("bits", "in_place"), [(16, False), (8, True), (4, True)])
def test_stored_entries_and_their_scales_go_together(bits, in_place):
    attention = attention_of(4, 2, head_width=32)
    tables = Tables(attention, 200)
    decoder = attention_decoder(attention, tables)
    tokens = np.random.default_rng(2).permutation(200)[:90]
    exact, stored = (
        run(
            Steps(decoder, layout_of((0, 1), bits=b), 8, "standard", "all", in_place=in_place),
            tokens,
            60,
        )
        for b in (32, bits)
    )
    error = abs(stored - exact).mean() / abs(exact).mean()
    assert error < {16: 2e-2, 8: 0.1, 4: 0.7}[bits]


def test_attributes_and_states():
    decoder = tiny_decoder(layers=2)
    layout = layout_of((0, 1), layers=2)
    model = step_graph(decoder, layout, 8, "onnxruntime")
    node = next(cached_attention(n) for n in model.graph if is_cached_attention(n))
    assert node.groups[0].kept == layout.layers[0][0]
    assert node.groups[0].slots == BUFFER
    assert [v.name for v in model.graph.inputs][3:6] == [
        "cache.0.0.key", "cache.0.0.value", "cache.0.0.unimportant",
    ]  # fmt: skip
    with pytest.raises(InputError, match=f"expected 1 to {BUFFER // 2}"):
        step_graph(decoder, layout, BUFFER // 2 + 1, "standard")


@pytest.mark.parametrize(
    "options", [{"windows": (9,)}, {"slopes": alibi_slopes(4), "rope": False}, {"sinks": True}]
)
def test_attentions_that_need_to_know_positions_are_refused(options):
    with pytest.raises(InputError, match="expected no sliding window, ALiBi or learned sinks"):
        step_graph(tiny_decoder(layers=1, **options), layout_of((0, 1)), 1, "standard")


def test_layouts_that_cannot_be():
    group = HeadGroup((0,), buffer=40, history=8, recent=3)
    for changes in (
        {"history": 0}, {"buffer": 0}, {"buffer": 5}, {"recent": -1}, {"window": 8},
        {"history": 1}, {"keep": 8, "growth": 8}, {"shared": True},
    ):  # fmt: skip
        with pytest.raises(InputError):
            dataclasses.replace(group, **changes)
