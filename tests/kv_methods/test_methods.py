import numpy as np
import pytest

from egrl.compression.runner import OnnxRuntimeRunner
from egrl.compression.spec import parse_spec
from egrl.kv.budget import full_bytes, layout_bytes, layout_share
from egrl.kv.method import ALL, Kept
from egrl.kv.methods.adakv import AdaKv
from egrl.kv.methods.duo import Duo
from egrl.kv.methods.expected_attention import ExpectedAttention
from egrl.kv.methods.full import Full
from egrl.kv.methods.no_compensation import NoCompensation
from egrl.kv.methods.random_heads import RandomHeads
from egrl.kv.methods.razor import Razor
from egrl.kv.methods.scissorhands import Scissorhands
from egrl.kv.methods.snapkv import SnapKv
from egrl.kv.methods.streaming import Streaming
from egrl.kv.plan import plan_layout
from egrl.kv.probe import HeadProbe
from egrl.kv.rank import best_heads, retrieval_heads
from egrl.kv.registry import KV_METHODS, kv_method
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.kv.scoring import Expected, Rotation
from graph_ir.kv.step import step_graph
from tests.decoder.tiny import tiny_decoder

DECODER = tiny_decoder(layers=3, query_heads=4, kv_heads=2)
PROBE = HeadProbe(
    echo=((0.1, 0.9), (0.0, 0.0), (0.2, 0.2)),
    induction=((0.0, 0.1), (0.7, 0.2), (0.7, 0.0)),
)


def kept(layout):
    """What every head keeps, by layer and head."""
    found = {}
    for index, groups in enumerate(layout.layers):
        for group in groups:
            for head in group.heads:
                found[index, head] = (group.window, group.sinks, group.compensation)
    return found


def test_retrieval_heads_are_the_union_of_both_rankings_with_ties_by_layer_then_head():
    assert best_heads(PROBE.induction, 2 / 6) == [(1, 0), (2, 0)]
    assert best_heads(PROBE.induction, 0) == []
    assert best_heads(PROBE.induction, 0.75) == [(1, 0), (2, 0), (1, 1), (0, 1), (0, 0)]
    assert retrieval_heads(PROBE, 2 / 6, 1 / 6) == {(1, 0), (2, 0), (0, 1)}


def test_razor_keeps_retrieval_heads_whole_and_of_others_sinks_window_and_mean():
    layout = Razor(window=5, sinks=2, induction=2 / 6, echo=1 / 6).layout(DECODER, 64, PROBE)
    short = (5, 2, True)
    assert kept(layout) == {
        (0, 0): short,
        (0, 1): (0, 0, False),
        (1, 0): (0, 0, False),
        (1, 1): short,
        (2, 0): (0, 0, False),
        (2, 1): short,
    }


def test_the_published_window_drops_nothing_below_four_thousand_positions():
    published = Razor(window=0)
    assert set(kept(published.layout(DECODER, 4000, PROBE)).values()) == {(0, 0, False)}
    windows = {window for window, _, _ in kept(published.layout(DECODER, 8192, PROBE)).values()}
    assert windows == {0, 4000}
    windows = {window for window, _, _ in kept(published.layout(DECODER, 30000, PROBE)).values()}
    assert windows == {0, 6000}


def test_ablations_differ_from_razor_in_one_thing():
    base = {"window": 5, "sinks": 2, "induction": 2 / 6, "echo": 0.0}
    razor = kept(Razor(**base).layout(DECODER, 64, PROBE))
    plain = kept(NoCompensation(**base).layout(DECODER, 64, PROBE))
    assert plain == {head: (window, sinks, False) for head, (window, sinks, _) in razor.items()}
    drawn = [kept(RandomHeads(**base, seed=s).layout(DECODER, 64, None)) for s in range(8)]
    assert all(sorted(found.values()) == sorted(razor.values()) for found in drawn)
    assert len({tuple(found.values()) for found in drawn}) > 1
    again = kept(RandomHeads(**base, seed=3).layout(DECODER, 64, None))
    assert again == drawn[3]


@pytest.mark.parametrize("budget", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("bits", [16, 32])
def test_a_budget_takes_the_largest_window_that_fits(budget, bits):
    method = Streaming(sinks=2, kv_budget=budget, bits=bits)
    layout = method.layout(DECODER, 200, None)
    (window,) = {window for window, _, _ in kept(layout).values()}
    assert layout_share(DECODER, layout) <= budget
    wider = Streaming(sinks=2, window=window + 1, bits=bits).layout(DECODER, 200, None)
    assert layout_share(DECODER, wider) > budget


def test_bytes_are_those_of_the_graph():
    layout = Razor(window=8, sinks=2, induction=0.5).layout(DECODER, 40, PROBE)
    model = step_graph(DECODER, layout, 1, "standard")
    states = [value for value in model.graph.inputs if value.name.startswith("cache.")]
    total = sum(int(np.prod(v.shape.numpy())) * v.dtype.bitwidth // 8 for v in states)
    assert layout_bytes(DECODER, layout) == total
    assert full_bytes(DECODER, 40) == 3 * 2 * 40 * 16 * 2


def test_a_budget_without_room_is_refused():
    with pytest.raises(UnmetRequirementError, match="retrieval heads"):
        Razor(kv_budget=0.1, induction=0.5).layout(DECODER, 64, PROBE)
    with pytest.raises(UnmetRequirementError, match="sinks"):
        Streaming(kv_budget=0.01, sinks=60).layout(DECODER, 64, None)


def test_a_layer_with_a_sliding_window_keeps_no_more_than_it_sees():
    decoder = tiny_decoder(layers=2, windows=(6, 0))
    probe = HeadProbe(echo=((0.0, 0.0),) * 2, induction=((1.0, 0.0),) * 2)
    layout = Razor(window=9, sinks=2, induction=0.5, echo=0).layout(decoder, 64, probe)
    assert kept(layout) == {
        (0, 0): (6, 0, False),
        (0, 1): (6, 0, False),
        (1, 0): (0, 0, False),
        (1, 1): (9, 2, True),
    }
    narrow = Streaming(window=3).layout(decoder, 64, None)
    assert kept(narrow)[0, 0] == (3, 0, False)


def test_heads_from_a_file(tmp_path):
    path = tmp_path / "heads.tsv"
    path.write_text("0.1\t0.9\n0.5\t0\n0.2\t0.3\n")
    layout = Duo(heads=str(path), share=2 / 6, window=5, sinks=3).layout(DECODER, 64, None)
    whole = [head for head, (window, _, _) in kept(layout).items() if window == 0]
    assert sorted(whole) == [(0, 1), (1, 0)]
    as_json = tmp_path / "heads.json"
    as_json.write_text("[[0.1, 0.9], [0.5, 0], [0.2, 0.3]]")
    assert (
        Duo(heads=str(as_json), share=2 / 6, window=5, sinks=3).layout(DECODER, 64, None) == layout
    )


@pytest.mark.parametrize(
    "text", ["0.1 0.2\n0.3 0.4\n", "0.1 0.2\n0.3 x\n1 2\n", "1 2\n3 nan\n4 5\n", "1 2\n3\n4 5\n"]
)
def test_a_file_of_other_heads_is_refused(tmp_path, text):
    path = tmp_path / "heads.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Duo(heads=str(path)).layout(DECODER, 64, None)
    assert "heads.tsv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_methods_without_what_they_need_are_refused(tmp_path):
    with pytest.raises(InputError, match="heads=FILE"):
        Duo().layout(DECODER, 64, None)
    with pytest.raises(InputError, match="probe"):
        Razor().layout(DECODER, 64, None)
    with pytest.raises(InputError, match=r"missing\.tsv"):
        Duo(heads=str(tmp_path / "missing.tsv")).layout(DECODER, 64, None)
    with pytest.raises(InputError, match="KV heads by layer"):
        Razor().layout(tiny_decoder(layers=2), 64, PROBE)


def test_options_come_from_the_command_line():
    method, resolved = kv_method(parse_spec("razor,window=256,sinks=8,bits=8,compensation=false"))
    assert method == Razor(window=256, sinks=8, bits=8, compensation=False)
    assert resolved["window"] == "256"
    assert resolved["induction"] == "0.14"
    method, _ = kv_method(parse_spec("kv,bits=8,value-bits=4"))
    assert (method.key, method.value) == (8, 4)


@pytest.mark.parametrize(
    "text",
    ["razor:a", "razor,window=-1", "razor,sinks=-1", "kv,bits=7", "razor,induction=2", "int4",
     "streaming,window=0", "streaming,kv-budget=1.5", "razor,width=2", "duo,share=-1"],
)  # fmt: skip
def test_bad_options_name_the_flag(text):
    with pytest.raises(InputError, match="--compress"):
        kv_method(parse_spec(text))


@pytest.mark.parametrize("name", list(KV_METHODS))
def test_every_method_has_a_name_and_a_line(name):
    assert KV_METHODS[name]().name == name
    assert KV_METHODS[name].__doc__


def test_everything_fits_where_window_and_sinks_do():
    layout = Streaming(window=60, sinks=4).layout(DECODER, 64, None)
    assert kept(layout) == {(i, h): (0, 0, False) for i in range(3) for h in range(2)}
    assert Kept() == ALL


def test_with_alibi_each_head_has_the_widest_window_of_its_queries():
    slopes = (0.5, 0.25, 0.125, 0.0625)
    decoder = tiny_decoder(layers=1, slopes=slopes, rope=False)
    probe = HeadProbe(((0.0, 0.0),), ((0.0, 0.0),), products=((3.0, 0.0, 0.0, 1.0),))
    layout = Razor().layout(decoder, 512, probe)
    # (6 + 11.513) / 0.5, 11.513 / 0.25; 11.513 / 0.125, (2 + 11.513) / 0.0625
    assert kept(layout) == {(0, 0): (47, 0, False), (0, 1): (217, 0, False)}
    assert kept(Razor(epsilon=0.1).layout(decoder, 512, probe))[0, 0] == (17, 0, False)


ROTATIONS = HeadProbe((), (), rotations=(Rotation(8),) * 2)


@pytest.mark.parametrize("method", [AdaKv, ExpectedAttention])
def test_heads_share_their_positions_at_the_same_bytes(method):
    decoder = tiny_decoder(layers=2)
    even = SnapKv(keep=40, growth=20).layout(decoder, 256, None)
    shared = method(keep=40, growth=20).layout(decoder, 256, ROTATIONS)
    assert (shared.keep, shared.growth) == (40, 20)
    assert all(group.shared for groups in shared.layers for group in groups)
    # Eight bytes for each head say where its own end.
    assert layout_bytes(decoder, shared) == layout_bytes(decoder, even) + 2 * 2 * 8
    tight = method(growth=20, kv_budget=0.6, bits=16).layout(decoder, 256, ROTATIONS)
    assert tight.keep == int(0.6 * 256) - 20
    assert not method(keep=40, growth=24).layout(decoder, 64, ROTATIONS).layers[0][0].shared
    alone = tiny_decoder(layers=2, query_heads=2, kv_heads=1)
    assert not method(keep=40, growth=20).layout(alone, 256, ROTATIONS).layers[0][0].shared
    with pytest.raises(InputError, match="attention 0: expected no sliding window, ALiBi"):
        method().layout(tiny_decoder(windows=(9, 0)), 256, ROTATIONS)
    with pytest.raises(UnmetRequirementError, match="20 after the prompt take more than 5 %"):
        method(growth=20, kv_budget=0.05).layout(decoder, 256, ROTATIONS)


def test_expected_attention_takes_what_was_measured():
    decoder = tiny_decoder(layers=2)
    method, _ = kv_method(parse_spec("expected-attention,keep=40,growth=20,per-head=false"))
    layout = plan_layout(method, decoder, 256, OnnxRuntimeRunner())
    assert isinstance(layout.scoring, Expected)
    assert layout.scoring.epsilon == 0.01
    assert all(len(rotation.pairs) == 4 for rotation in layout.scoring.rotations)
    assert not any(group.shared for groups in layout.layers for group in groups)
    with pytest.raises(InputError, match="expected the rotations of a probe"):
        method.layout(decoder, 256, None)
    for text in ("keep=4", "epsilon=-1", "epsilon=2", "per-head=maybe", "window=3"):
        with pytest.raises(InputError, match="--compress"):
            kv_method(parse_spec(f"expected-attention,{text}"))


def test_scissorhands_has_a_buffer_that_a_budget_has_room_for():
    decoder = tiny_decoder(layers=2)
    layout = Scissorhands(buffer=40, history=30, recent=7).layout(decoder, 256, None)
    group = layout.layers[1][0]
    assert (group.heads, group.buffer, group.history, group.recent) == ((0, 1), 40, 30, 7)
    # A count of four bytes beside every entry of 2 x 8 floats.
    assert layout_share(decoder, layout) == pytest.approx(40 * (64 + 4) / (256 * 32))
    tight = Scissorhands(kv_budget=0.5).layout(decoder, 256, None)
    assert tight.layers[0][0].buffer == 256 * 32 // 2 // 68
    assert Scissorhands(buffer=64).layout(decoder, 64, None) == Full().layout(decoder, 64, None)
    with pytest.raises(UnmetRequirementError, match="20 positions take more than 10 %"):
        Scissorhands(kv_budget=0.1).layout(decoder, 256, None)
    with pytest.raises(InputError, match="attention 0: expected no sliding window, ALiBi"):
        Scissorhands().layout(tiny_decoder(windows=(9, 0)), 256, None)
    for text in ("buffer=19", "history=1", "recent=-1", "kv-budget=2", "window=9"):
        with pytest.raises(InputError, match="--compress"):
            kv_method(parse_spec(f"scissorhands,{text}"))


def test_snapkv_chooses_what_a_budget_has_room_for():
    decoder = tiny_decoder(layers=2)
    layout = SnapKv(keep=40, growth=20).layout(decoder, 256, None)
    assert (layout.keep, layout.growth) == (40, 20)
    assert [group.heads for groups in layout.layers for group in groups] == [(0, 1), (0, 1)]
    assert layout_share(decoder, layout) == pytest.approx(2 * 60 / 256)
    layout = SnapKv(growth=20, kv_budget=0.6, bits=16).layout(decoder, 256, None)
    assert layout.keep == int(0.6 * 256) - 20
    assert SnapKv(keep=40, growth=24).layout(decoder, 64, None).keep == 0
    for growth in (20, 99):
        method = SnapKv(growth=growth, kv_budget=1.0, bits=16)
        assert method.layout(decoder, 64, None) == Full(bits=16).layout(decoder, 64, None)
    with pytest.raises(UnmetRequirementError, match="20 after the prompt take more than 10 %"):
        SnapKv(growth=20, kv_budget=0.1).layout(decoder, 256, None)
    with pytest.raises(InputError, match="attention 0: expected no sliding window, ALiBi"):
        SnapKv().layout(tiny_decoder(windows=(9, 0)), 256, None)
    for text in ("snapkv,keep=32", "snapkv,growth=0", "snapkv,kv-budget=2", "snapkv,window=9"):
        with pytest.raises(InputError, match="--compress"):
            kv_method(parse_spec(text))
