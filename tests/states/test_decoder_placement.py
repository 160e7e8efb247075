"""Both graphs of a decoder: one home for what they share, the better of two orders, reports."""

import msgspec
import numpy as np
import pytest

from accelerator_sim.build_report import build_report
from accelerator_sim.html.page import report_html
from accelerator_sim.plan_builder import build_plan
from accelerator_sim.problem import build_problem
from accelerator_sim.reference_engine import simulate
from accelerator_sim.report import Report
from accelerator_sim.report_case import ReportCase
from accelerator_sim.report_markdown import report_markdown
from accelerator_sim.report_text import WIDTH, report_text
from accelerator_sim.targets import load_target
from accelerator_sim.validate import find_violations
from egrl.context_report import lengths, with_caches
from egrl.decoder_placement import SHARED_KINDS, place_decoder
from egrl.placement import place
from egrl.placers.base import Budget
from graph_ir.errors import InputError, UnmetRequirementError
from graph_ir.kv.layout import HeadGroup, KvLayout, full_layout
from graph_ir.kv.step import step_graph
from graph_ir.lower import lower
from graph_ir.passes.pipeline import run_lossless
from tests.decoder.tiny import tiny_decoder

CONTEXT, LAYERS, CHUNK = 2048, 2, 16
WIDTH_OF_HEAD = 64
BUDGET = Budget(evaluations=40)


@pytest.fixture(scope="module")
def decoder():
    return tiny_decoder(layers=LAYERS, head_width=WIDTH_OF_HEAD, vocabulary=256)


def pruned():
    return KvLayout(CONTEXT, ((HeadGroup((0,)), HeadGroup((1,), 64, 4, True)),) * LAYERS)


def graph(decoder, layout, rows, name):
    model = step_graph(decoder, layout, rows, "standard")
    model.graph.name = name
    run_lossless(model)
    return model


def problem_of(model, pins=None, target="nnp-i"):
    return build_problem(lower(model, model.graph.name).workload, load_target(target), pins)


@pytest.fixture(scope="module")
def graphs(decoder):
    return graph(decoder, pruned(), 1, "decode"), graph(decoder, pruned(), CHUNK, "prefill")


def homes_by_name(problem, placed):
    return {
        t.name: (problem.home_name(int(h)), t.size_bytes)
        for t, h in zip(problem.workload.tensors, placed.homes_T, strict=True)
        if t.kind in SHARED_KINDS
    }


def test_what_is_shared_has_one_home_and_plans_are_sound(graphs):
    decode, prefill = (problem_of(model) for model in graphs)
    placed = place_decoder(decode, prefill, "acts-first", BUDGET, 0)
    here, there = homes_by_name(decode, placed.decode), homes_by_name(prefill, placed.prefill)
    shared = [n for n in here if n in there and here[n][1] == there[n][1]]
    assert len([n for n in shared if n.startswith("cache.")]) == LAYERS * 2 * 2
    assert all(here[name] == there[name] for name in shared)
    for problem, one in ((decode, placed.decode), (prefill, placed.prefill)):
        assert find_violations(build_plan(problem, one.homes_T.tolist(), one.timeline)) == []
        assert one.report.latency_s == one.timeline.latency_s
        if one.report.lower_bound_s is not None:
            assert one.report.latency_s >= one.report.lower_bound_s * (1 - 1e-9)


def test_the_better_order_is_taken(graphs):
    decode, prefill = (problem_of(model) for model in graphs)

    def seconds(ratio):
        both = place_decoder(decode, prefill, "acts-first", BUDGET, 0, prompt_ratio=ratio)
        token, prompt = both.decode.report.latency_s, both.prefill.report.latency_s
        return token, prompt

    token_only, prompt_only = seconds(0.0), seconds(1e9)
    assert token_only[0] <= prompt_only[0]
    assert prompt_only[1] <= token_only[1]
    token, prompt = seconds(4.0)
    objective = token + 4.0 * prompt / CHUNK
    for other in (token_only, prompt_only):
        assert objective <= other[0] + 4.0 * other[1] / CHUNK


def test_the_report_says_what_sharing_homes_costs(graphs):
    decode, prefill = (problem_of(model) for model in graphs)
    placed = place_decoder(decode, prefill, "acts-first", BUDGET, 0)
    second = placed.prefill if placed.first == "decode" else placed.decode
    first = placed.decode if placed.first == "decode" else placed.prefill
    problem = prefill if placed.first == "decode" else decode
    alone_s = place(problem, "acts-first", BUDGET, 0).report.latency_s
    assert second.report.alone_s == alone_s
    assert first.report.alone_s is None
    assert "shared homes" not in report_text(first.report)
    text = report_text(second.report)
    assert f"({second.report.latency_s / alone_s:.2f}x)" in text
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_pins_of_either_graph_hold(graphs):
    pins = {"cache.0.0.key": "DRAM"}
    decode, prefill = (problem_of(model, pins) for model in graphs)
    placed = place_decoder(decode, prefill, "acts-first", BUDGET, 0)
    assert homes_by_name(decode, placed.decode)["cache.0.0.key"][0] == "DRAM"
    assert homes_by_name(prefill, placed.prefill)["cache.0.0.key"][0] == "DRAM"
    against = problem_of(graphs[1], {"cache.0.0.key": "LLC"})
    with pytest.raises(UnmetRequirementError, match="where prefill may not have it"):
        place_decoder(decode, against, "acts-first", BUDGET, 0)


def test_graphs_with_other_caches_are_refused(decoder, graphs):
    other = graph(decoder, full_layout(CONTEXT, (2,) * LAYERS), CHUNK, "prefill")
    with pytest.raises(InputError, match="expected the same in both graphs of the decoder"):
        place_decoder(problem_of(graphs[0]), problem_of(other), "acts-first", BUDGET, 0)


@pytest.fixture(scope="module")
def reported(graphs):
    decode, prefill = (problem_of(model) for model in graphs)
    placed = place_decoder(decode, prefill, "acts-first", BUDGET, 0, model="tiny").decode
    report = with_caches(placed.report, graphs[0], decode, placed.homes_T, CONTEXT)
    return decode, placed, report


@pytest.mark.parametrize("target", ["hexagon-vtcm-8m", "nvdla-full"])
def test_heads_are_not_rounded_like_channels(graphs, target):
    decode = problem_of(graphs[0], target=target)
    placed = place(decode, "acts-first", BUDGET, 0)
    caches = with_caches(placed.report, graphs[0], decode, placed.homes_T, CONTEXT).caches
    assert decode.accelerator.layout_channels > 2
    assert sum(tier.cache_bytes for tier in caches.tiers) == caches.cache_bytes


def test_the_report_of_the_caches(reported):
    problem, _, report = reported
    caches = report.caches
    rows = CONTEXT + 1 + 4 + 64
    assert caches.cache_bytes == LAYERS * 2 * rows * WIDTH_OF_HEAD * 2
    assert caches.full_bytes == LAYERS * 2 * 2 * CONTEXT * WIDTH_OF_HEAD * 2
    assert [row.context for row in caches.contexts] == lengths(CONTEXT) == [
        128, 256, 512, 1024, 1536, 2048
    ]  # fmt: skip
    latencies = [row.latency_s for row in caches.contexts]
    assert latencies == sorted(latencies)
    assert latencies[-1] == pytest.approx(report.latency_s, rel=1e-12)
    # What a token reads: the full group grows, the other has been full from the first row on.
    row_bytes = LAYERS * 2 * WIDTH_OF_HEAD * 2
    assert [row.read_bytes for row in caches.contexts] == [
        (row.context + 69) * row_bytes for row in caches.contexts
    ]
    assert sum(tier.cache_bytes for tier in caches.tiers) == caches.cache_bytes
    windowed = LAYERS * 2 * 69 * WIDTH_OF_HEAD * 2
    for tier, row in zip(problem.accelerator.tiers, caches.tiers, strict=True):
        # One position more than is said does not fit.
        capacity = tier.capacity_bytes.value
        full = row_bytes * 2
        assert row.full_context * full <= capacity < (row.full_context + 1) * full
        assert windowed + row.kept_context * row_bytes <= capacity
        assert windowed + (row.kept_context + 1) * row_bytes > capacity


def test_windows_alone_overflow_nothing(decoder):
    layout = KvLayout(CONTEXT, ((HeadGroup((0, 1), 64, 4, True),),) * LAYERS)
    model = graph(decoder, layout, 1, "decode")
    problem = problem_of(model)
    homes_T = np.zeros(problem.tensor_count, np.int8)
    timeline = simulate(problem, homes_T.tolist())
    report = build_report(
        problem, homes_T.tolist(), timeline, model="tiny", placer="none", references={},
        lower_bound_s=None, best_known_s=timeline.latency_s,
    )  # fmt: skip
    caches = with_caches(report, model, problem, homes_T, CONTEXT).caches
    assert [tier.kept_context for tier in caches.tiers] == [None] * 3
    assert "never" in report_text(msgspec.structs.replace(report, caches=caches))
    assert len({row.latency_s for row in caches.contexts}) == 1


def test_it_is_in_every_form(reported):
    problem, placed, report = reported
    text = report_text(report)
    assert "Caches: " in text
    assert "of full caches" in text
    assert "overflow" in text
    assert all(len(line) <= WIDTH for line in text.splitlines())
    homes = tuple(placed.homes_T.tolist())
    plan = build_plan(problem, homes, placed.timeline)
    case = ReportCase("tiny", "", report, placed.timeline, problem, homes, plan)
    markdown = report_markdown([case])
    assert "| positions held | a token |" in markdown
    page = report_html([case])
    assert '"caches":{"context":2048' in page
    encoded = msgspec.json.encode(report)
    assert msgspec.json.decode(encoded, type=Report) == report


def test_other_reports_have_no_caches(reported):
    _, placed, _ = reported
    assert placed.report.caches is None
    assert b"caches" not in msgspec.json.encode(placed.report)
    assert "Caches" not in report_text(placed.report)


def test_the_same_seed_gives_the_same_placement(graphs):
    decode, prefill = (problem_of(model) for model in graphs)
    first, second = (
        place_decoder(decode, prefill, "anneal", Budget(evaluations=400), 7) for _ in range(2)
    )
    np.testing.assert_array_equal(first.decode.homes_T, second.decode.homes_T)
    np.testing.assert_array_equal(first.prefill.homes_T, second.prefill.homes_T)
