"""The simulated part of `egrl bench kv`: rows of tiny decoders, and its section."""

import pytest

from egrl.bench.kv.rows import Book
from egrl.bench.kv.simulated import (
    CASES,
    CONTEXTS,
    PART,
    REFERENCE,
    Row,
    draw_picture,
    measure,
    section,
    simulate_layout,
)
from egrl.bench.settings import Settings
from graph_ir.errors import InputError
from graph_ir.kv.layout import HeadGroup, KvLayout, full_layout
from tests.decoder.tiny import tiny_decoder

CONTEXT, LAYERS, WIDTH, KV_HEADS = 65_536, 2, 64, 2


@pytest.fixture(scope="module")
def rows():
    decoder = tiny_decoder(layers=LAYERS, head_width=WIDTH, vocabulary=256)
    pruned = HeadGroup((0, 1), 256, 4, True)
    layouts = (full_layout(CONTEXT, (KV_HEADS,) * LAYERS), KvLayout(CONTEXT, ((pruned,),) * LAYERS))
    names = (REFERENCE, CASES[2].name)
    found = {}
    for name, layout in zip(names, layouts, strict=True):
        metrics, samples = simulate_layout(decoder, layout, True, evaluations=50)
        row = Row(PART, "8192", name, metrics, samples)
        found[row.key] = row
    return found


def test_small_caches_come_to_lie_on_the_chip(rows):
    full, pruned = (row.metrics for row in rows.values())
    assert full["cache_bytes"] == LAYERS * 2 * KV_HEADS * CONTEXT * WIDTH * 2
    assert full["share"] == 1.0
    assert pruned["share"] == pytest.approx(261 / CONTEXT)
    assert pruned["cache_bytes_on_chip"] == pruned["cache_bytes"]
    # 64 MiB of caches do not fit into 28 MiB.
    assert full["cache_bytes_on_chip"] < full["cache_bytes"]
    assert pruned["latency_s"] < 0.5 * full["latency_s"]
    for row in rows.values():
        assert row.metrics["latency_s"] <= row.metrics["best_reference_s"] * (1 + 1e-9)
        curve = row.samples["latency_s"]
        assert curve == sorted(curve)
        assert curve[-1] == pytest.approx(row.metrics["latency_s"])


def test_the_section_says_it(rows):
    text = "\n".join(section(rows))
    assert "### 8,192 positions" in text
    assert "| full | 100.0 % | 64.0 MiB | no |" in text
    assert "| 0.3 MiB | yes | 100 % |" in text
    assert "of graphs for 8,192" in text
    failed = Row(PART, "32768", CASES[1].name, failed="no room")
    text = "\n".join(section({**rows, failed.key: failed}))
    assert "full, int4: no room" in text
    assert "shapes only" in text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"models": ("1000",)}, "--model 1000"), ({"methods": ("best",)}, "--method best")],
)
def test_what_there_is_not_is_refused(tmp_path, settings, expected):
    with pytest.raises(InputError, match=expected):
        measure(Settings(tmp_path, **settings), Book(tmp_path / "kv.json"))


def test_contexts_rise():
    assert sorted(CONTEXTS) == list(CONTEXTS)


def test_the_picture_says_which_caches_fit_and_is_the_same_again(rows, tmp_path):
    for folder in ("a", "b"):
        draw_picture(rows, tmp_path / folder)
    drawn = [(tmp_path / folder / "simulated.svg").read_text() for folder in ("a", "b")]
    assert drawn[0] == drawn[1]
    assert f"{REFERENCE}: 64 MiB of caches, do not fit on the chip" in drawn[0]
    assert f"{CASES[2].name}: 0 MiB of caches, fit on the chip" in drawn[0]
    draw_picture({}, tmp_path / "c")
    assert not (tmp_path / "c").exists()
