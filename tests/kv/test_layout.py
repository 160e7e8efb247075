"""Layouts: windows that hold everything are none."""

from hypothesis import given
from hypothesis import strategies as st

from graph_ir.kv.layout import HeadGroup, KvLayout, full_layout, without_idle_windows

CONTEXT = 100


@st.composite
def layers(draw):
    heads = draw(st.integers(1, 6))
    cuts = sorted(draw(st.sets(st.integers(1, heads), max_size=3)) | {heads})
    order = draw(st.permutations(range(heads)))
    groups, begin = [], 0
    for end in cuts:
        window = draw(st.sampled_from((0, 5, 60, 95, 96, 99, 100, 130)))
        groups.append(
            HeadGroup(
                tuple(sorted(order[begin:end])),
                window,
                draw(st.integers(0, 8)) if window else 0,
                draw(st.booleans()) if window else False,
                key_bits=draw(st.sampled_from((8, 32))),
            )
        )
        begin = end
    return tuple(groups)


def keeps(groups):
    """What each head keeps: its sinks, its window, compensation and bits; None for everything."""
    return {
        head: (
            None
            if not g.window or g.sinks + g.window >= CONTEXT
            else (g.sinks, g.window, g.compensation),
            g.key_bits,
        )
        for g in groups
        for head in g.heads
    }


@given(st.lists(layers(), min_size=1, max_size=3))
def test_every_head_keeps_the_same_in_no_more_caches(groups):
    layout = KvLayout(CONTEXT, tuple(groups))
    merged = without_idle_windows(layout)
    for before, after in zip(layout.layers, merged.layers, strict=True):
        assert keeps(after) == keeps(before)
        assert sorted(head for g in after for head in g.heads) == sorted(keeps(before))
        bytes_before = sum(g.slots(CONTEXT) * len(g.heads) for g in before)
        assert sum(g.slots(CONTEXT) * len(g.heads) for g in after) <= bytes_before
        everything = [g.key_bits for g in after if not g.is_fixed]
        assert len(everything) == len(set(everything))
        assert all(g.sinks + g.window < CONTEXT for g in after)
    assert without_idle_windows(merged) == merged


def test_a_window_as_long_as_the_context_prunes_nothing():
    whole, ring = HeadGroup((1,)), HeadGroup((0, 2), CONTEXT, 4, True)
    assert without_idle_windows(KvLayout(CONTEXT, ((whole, ring),))) == full_layout(CONTEXT, (3,))
    kept = KvLayout(CONTEXT, ((whole, HeadGroup((0, 2), CONTEXT - 5, 4, True)),))
    assert without_idle_windows(kept) == kept
