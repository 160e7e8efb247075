import itertools
import json

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from graph_ir.errors import InputError
from graph_ir.kv.layout import HeadGroup, KvLayout, full_layout
from graph_ir.kv.operator import STATES, cached_attention, is_cached_attention
from graph_ir.kv.step import step_graph
from graph_ir.load import load_model
from tests.decoder.tiny import alibi_slopes, tiny_decoder
from tests.kv.attention_decoder import Tables, attention_decoder, attention_of
from tests.kv.reference import Twin
from tests.kv.running import Steps, open_session, run

PRUNED = KvLayout(
    40,
    (
        (HeadGroup((1,)), HeadGroup((0,), 9, 2, compensation=True)),
        (HeadGroup((0, 1), 8, 3),),
    ),
)


def test_names_shapes_and_pairs():
    model = step_graph(tiny_decoder(), PRUNED, 4, "standard")
    inputs = {value.name: (value.dtype.name, tuple(value.shape)) for value in model.graph.inputs}
    states = {
        "cache.0.0.key": ("FLOAT", (1, 1, 40, 8)),
        "cache.0.0.value": ("FLOAT", (1, 1, 40, 8)),
        "cache.0.1.key": ("FLOAT", (1, 1, 12, 8)),
        "cache.0.1.value": ("FLOAT", (1, 1, 12, 8)),
        "cache.1.0.key": ("FLOAT", (1, 2, 11, 8)),
        "cache.1.0.value": ("FLOAT", (1, 2, 11, 8)),
    }
    assert inputs == {
        "input_ids": ("INT64", (1, 4)),
        "past_length": ("INT64", (1,)),
        "count": ("INT64", (1,)),
        **states,
    }
    assert list(inputs) == ["input_ids", "past_length", "count", *states]
    outputs = {value.name: (value.dtype.name, tuple(value.shape)) for value in model.graph.outputs}
    after = {name.replace("cache.", "next."): form for name, form in states.items()}
    assert outputs == {"logits": ("FLOAT", (1, 1, 48)), **after}
    pairs = [[name, name.replace("cache.", "next.")] for name in states]
    assert json.loads(model.metadata_props[STATES]) == pairs
    decode = step_graph(tiny_decoder(), PRUNED, 1, "standard")
    assert [value.name for value in decode.graph.inputs][:3] == [
        "input_ids",
        "past_length",
        "cache.0.0.key",
    ]


@pytest.mark.parametrize("rows", [1, 4])
def test_everything_is_static_and_attentions_are_single_nodes(rows):
    decoder = tiny_decoder()
    model = step_graph(decoder, PRUNED, rows, "standard", "all")
    names = [node.name for node in model.graph]
    assert all(names)
    assert len(set(names)) == len(names)
    for node in model.graph:
        for value in node.outputs:
            assert value.shape is not None, node
            assert value.shape.is_static(), node
            assert value.dtype is not None, node
    nodes = [node for node in model.graph if is_cached_attention(node)]
    assert len(nodes) == 2
    for layer, node in enumerate(nodes):
        known = cached_attention(node)
        assert (known.layer, known.rows, known.query_heads, known.kv_heads) == (layer, rows, 4, 2)
        assert [group.kept for group in known.groups] == list(PRUNED.layers[layer])
        for at, group in enumerate(known.groups):
            assert group.slots == PRUNED.layers[layer][at].slots(40)
            for (before, after), part in zip(group.states, ("key", "value"), strict=True):
                assert node.inputs[before].name == f"cache.{layer}.{at}.{part}"
                assert node.outputs[after].name == f"next.{layer}.{at}.{part}"


def test_the_decoder_is_not_changed():
    decoder = tiny_decoder()
    before = ir.serde.serialize_model(decoder.model).SerializeToString()
    model = step_graph(decoder, PRUNED, 4, "standard")
    assert ir.serde.serialize_model(decoder.model).SerializeToString() == before
    table = "embedding"
    ours, theirs = (m.graph.initializers[table].const_value for m in (model, decoder.model))
    assert ours is theirs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"windows": (0, 5)},
        {"slopes": alibi_slopes(4), "rope": False},
        {"sinks": True},
        {"softcap": 2.0},
        {"value_width": 4},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_a_full_cache_gives_the_logits_of_the_whole_sequence(options):
    decoder = tiny_decoder(**options)
    tokens = np.random.default_rng(0).integers(0, 48, 40)
    whole = open_session(decoder.model)
    feeds = {"input_ids": tokens[None], "positions": np.arange(40)}
    names = {value.name for value in whole.get_inputs()}
    (want,) = whole.run(None, {name: feeds[name] for name in names})
    got = run(Steps(decoder, full_layout(40, (2, 2)), 7, logits="all"), tokens, 20)
    assert np.abs(got - want[0]).max() < 1e-4 * np.ptp(want)


def test_logits_of_the_last_row_alone():
    decoder = tiny_decoder()
    tokens = np.arange(5)
    every = Steps(decoder, PRUNED, 8, logits="all").chunk(tokens)
    last = Steps(decoder, PRUNED, 8, logits="last").chunk(tokens)
    np.testing.assert_allclose(last[0], every[-1], rtol=0, atol=1e-6)
    heads = [
        node
        for node in step_graph(decoder, PRUNED, 8, "standard").graph
        if node.op_type == "MatMul" and node.inputs[1].name == "head"
    ]
    assert tuple(heads[0].outputs[0].shape) == (1, 1, 48)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("form", ["standard", "onnxruntime"])
def test_a_saved_step_loads_and_gives_the_same(tmp_path, form, rows):
    model = step_graph(tiny_decoder(), PRUNED, rows, form)
    ir.save(model, tmp_path / "step.onnx")
    loaded = load_model(tmp_path / "step.onnx").graph_model
    assert loaded.metadata_props[STATES] == model.metadata_props[STATES]
    assert not loaded.functions
    rng = np.random.default_rng(0)
    feeds = {}
    for value in model.graph.inputs:
        if value.dtype == ir.DataType.FLOAT:
            feeds[value.name] = rng.standard_normal(tuple(value.shape), np.float32)
    feeds |= {"input_ids": np.array([[1, 2, 3, 4]])[:, :rows], "past_length": np.array([20])}
    if rows > 1:
        feeds["count"] = np.array([3])
    ours, theirs = (open_session(m).run(None, feeds) for m in (model, loaded))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@given(data=st.data())
@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
def test_any_heads_groups_windows_and_chunks(data):
    draw = data.draw
    kv_heads = draw(st.integers(1, 4))
    attention = attention_of(
        query_heads=kv_heads * draw(st.integers(1, 3)), kv_heads=kv_heads, head_width=8
    )
    owner = [draw(st.integers(0, 2)) for _ in range(kv_heads)]
    groups = []
    for group in draw(st.permutations(sorted(set(owner)))):
        heads = tuple(head for head in range(kv_heads) if owner[head] == group)
        window = draw(st.sampled_from([0, 3, 4, 7, 30]))
        sinks = draw(st.integers(0, 4)) if window else 0
        groups.append(HeadGroup(heads, window, sinks, bool(window) and draw(st.booleans())))
    layout = KvLayout(24, (tuple(groups),))
    rows = draw(st.integers(1, min([24, *(group.window or 24 for group in groups)])))
    tokens = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 10, 24)
    # Chunks of these sizes in turn; 0 for a row that is decoded.
    sizes = itertools.cycle(draw(st.lists(st.integers(0, rows), min_size=1, max_size=4)))
    tables = Tables(attention, 10)
    decoder = attention_decoder(attention, tables)
    form = draw(st.sampled_from(["standard", "onnxruntime"]))
    steps = Steps(decoder, layout, rows, form, "all", in_place=draw(st.booleans()))
    twin = Twin(attention, layout.layers[0])
    at = 0
    while at < len(tokens):
        count = next(sizes) if rows > 1 else 0
        part = tokens[at : at + max(count, 1)]
        inputs = (tables.query[part], tables.key[part], tables.value[part])
        if count:
            got, want = steps.chunk(part), twin.chunk(*inputs)
        else:
            got, want = steps.token(part[0]), twin.decode(*(array[0] for array in inputs))
        assert np.abs(np.ravel(got) - want.ravel()).max() <= 1e-5
        at += len(part)


@pytest.mark.parametrize("form", ["standard", "onnxruntime"])
def test_padding_leaves_no_trace(form):
    decoder = tiny_decoder()
    states = []
    for padding in (0, 17):
        steps = Steps(decoder, PRUNED, 8, form, in_place=True)
        for part in (np.arange(8), np.arange(20, 27), np.arange(3), np.arange(30, 38)):
            ids = np.full(8, padding)
            ids[: len(part)] = part
            feeds = {"count": np.array([len(part)])}
            steps._run(steps.chunks, ids[None], feeds)
            steps.length += len(part) - 1
        states.append({name: value.numpy().copy() for name, value in steps.states.items()})
    for name in states[0]:
        np.testing.assert_array_equal(states[0][name], states[1][name])
    # 26 of 40 positions are written, the rest is as it began.
    assert not states[0]["cache.0.0.key"][:, :, 26:].any()


@pytest.mark.parametrize("form", ["standard", "onnxruntime"])
def test_padding_behind_the_end_of_the_context(form):
    decoder = tiny_decoder(most_positions=40)
    tokens = np.random.default_rng(2).integers(0, 48, 40)
    layout = full_layout(40, (2, 2))
    padded = run(Steps(decoder, layout, 16, form), tokens, 40)
    exact = run(Steps(decoder, layout, 8, form), tokens, 40)
    np.testing.assert_allclose(padded[-1], exact[-1], rtol=0, atol=1e-5)


FULL = (HeadGroup((0, 1)),)

BAD = {
    "attentions": (KvLayout(40, (FULL,)), 1, {}, "expected 2 attentions, got 1"),
    "context": (full_layout(41, (2, 2)), 1, {"most_positions": 40}, "40 positions, got 41"),
    "heads": (KvLayout(40, (FULL, (HeadGroup((0,)),))), 1, {}, "of attention 1: expected each"),
    "rows": (KvLayout(40, (FULL, (HeadGroup((0, 1), 8),))), 9, {}, "expected 1 to 8"),
    "sliding": (
        KvLayout(40, (FULL, (HeadGroup((0, 1), 8, 0, True),))),
        1,
        {"windows": (0, 5)},
        "attention 1 sees a window of 5",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_graph_is_made_of(name):
    layout, rows, options, message = BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        step_graph(tiny_decoder(**options), layout, rows, "standard")
    assert "\n" not in str(caught.value)


def test_which_operators_execute_a_group():
    """Which form a group got is told by its node."""
    found = {}
    for form in ("standard", "onnxruntime"):
        for rows in (1, 4):
            model = step_graph(tiny_decoder(), PRUNED, rows, form)
            node = next(node for node in model.graph if is_cached_attention(node))
            found[form, rows] = [group.form for group in cached_attention(node).groups]
            domains = {node.domain for function in model.functions.values() for node in function}
            assert domains == ({""} if form == "standard" else {"", "com.microsoft"})
    assert found == {
        ("standard", 1): ["standard", "standard"],
        ("standard", 4): ["standard", "standard"],
        ("onnxruntime", 1): ["onnxruntime", "standard"],
        ("onnxruntime", 4): ["onnxruntime", "onnxruntime"],
    }
