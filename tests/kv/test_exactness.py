import functools

import numpy as np
import pytest

from graph_ir.kv.layout import HeadGroup, KvLayout, full_layout
from tests.decoder.tiny import alibi_slopes
from tests.kv.attention_decoder import Tables, attention_decoder, attention_of
from tests.kv.reference import Twin
from tests.kv.running import Steps, run

GOAL = 1e-5
TOKENS = 97
FORMS = ("standard", "onnxruntime")

# KV heads 0 .. of each: a retrieval head with everything, others pruned in two ways.
HEADS = {
    "grouped": (attention_of(8, 4, 16), ((2,), (0, 3), (1,))),
    "multi-query": (attention_of(6, 1, 16), ((), (0,), ())),
    "multi-head": (attention_of(4, 4, 16), ((1,), (0, 2), (3,))),
}


def pruned(heads, context, window=48):
    retrieval, compensated, streaming = heads
    groups = [HeadGroup(retrieval)] if retrieval else []
    groups += [HeadGroup(compensated, window, 4, True)] if compensated else []
    groups += [HeadGroup(streaming, window + 5, 3)] if streaming else []
    return KvLayout(context, (tuple(groups),))


def ids(count, seed=1):
    return np.random.default_rng(seed).integers(0, TOKENS, count)


@functools.cache
def reference(attention, groups, prompt, total, rows):
    """What the twin gives for every row."""
    tables, tokens = Tables(attention, TOKENS), ids(total)
    twin = Twin(attention, groups, tables.sinks)
    outputs = []
    for start in range(0, prompt, rows):
        part = tokens[start : min(start + rows, prompt)]
        outputs += [*twin.chunk(tables.query[part], tables.key[part], tables.value[part])]
    for token in tokens[prompt:]:
        outputs.append(twin.decode(tables.query[token], tables.key[token], tables.value[token]))
    return np.array(outputs).reshape(total, -1)


def error_of(attention, layout, form, *, prompt, total, rows, in_place=True, fill=0.0):
    """Largest difference over all rows of a prompt in chunks and of what is decoded after it."""
    decoder = attention_decoder(attention, Tables(attention, TOKENS))
    steps = Steps(decoder, layout, rows, form, "all", in_place, fill)
    got = run(steps, ids(total), prompt)
    return np.abs(got - reference(attention, layout.layers[0], prompt, total, rows)).max()


@pytest.mark.parametrize("in_place", [True, False], ids=["in-place", "copied"])
@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("form", FORMS)
def test_a_thousand_steps_after_a_prompt(form, kind, in_place):
    attention, heads = HEADS[kind]
    total = 1150
    layout = pruned(heads, total)
    error = error_of(attention, layout, form, prompt=150, total=total, rows=32, in_place=in_place)
    assert error <= GOAL


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", HEADS)
def test_nothing_to_drop_is_the_full_cache(form, kind):
    attention, heads = HEADS[kind]
    tables = Tables(attention, TOKENS)
    decoder = attention_decoder(attention, tables)
    total, rows = 60, 16
    tokens = ids(total)
    layouts = (pruned(heads, total, window=60), full_layout(total, (attention.kv_heads,)))
    outputs = [run(Steps(decoder, layout, rows, form, "all"), tokens, 32) for layout in layouts]
    np.testing.assert_allclose(*outputs, rtol=0, atol=GOAL)


SPECIAL = {
    "sliding": attention_of(4, 2, window=9),
    "sliding-far": attention_of(4, 2, window=30),
    "alibi": attention_of(4, 2, slopes=alibi_slopes(4)),
    "learned-sinks": attention_of(4, 2, sinks=True),
    "alibi-and-learned-sinks": attention_of(4, 2, slopes=alibi_slopes(4), sinks=True),
    "softcap": attention_of(4, 2, softcap=1.5),
    "narrow-values": attention_of(4, 2, head_width=8, value_width=4),
    "wide-values": attention_of(4, 1, head_width=4, value_width=12),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SPECIAL)
def test_what_models_have_beside_a_scale(form, name):
    attention = SPECIAL[name]
    heads = tuple(range(attention.kv_heads))
    for groups in (
        (HeadGroup(heads),),
        (HeadGroup(heads, 12, 2, attention.window == 0),),
        (HeadGroup(heads[:1], 11), *(HeadGroup((head,)) for head in heads[1:])),
    ):
        layout = KvLayout(70, (groups,))
        error = error_of(attention, layout, form, prompt=37, total=70, rows=8)
        assert error <= GOAL, groups


@pytest.mark.parametrize("form", FORMS)
def test_what_unused_slots_hold_does_not_matter(form):
    attention, heads = HEADS["grouped"]
    layout = pruned(heads, 90, window=20)
    error = error_of(attention, layout, form, prompt=33, total=90, rows=16, fill=1e6)
    assert error <= GOAL
